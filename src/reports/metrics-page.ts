import { evaluation_metrics } from "./evaluation-metrics.js";
import { type Metric, metrics, reward_parts } from "./metrics.js";
import { reflection_words } from "./reflection.js";
import { ratio_names } from "./reflection-statistics.js";
import { sectionOf } from "./report/curves.js";

type Row = readonly [name: string, metric: Pick<Metric, "unit" | "formula" | "source"> & Partial<Metric>];

const head = `# Metrics
Every number that \`train\` and \`sft\` write to \`metrics.jsonl\`, and every quantity of an evaluation. This page is written by
\`npm run docs:metrics\` from src/reports/metrics.ts and src/reports/evaluation-metrics.ts: change those.

N: completions of a step. N+: those whose accuracy reward is above 0. T: their sampled tokens. A: advantage. pi: the policy
now, old: the policy that sampled, ref: the reference; as log-probs in nats where they are subtracted. Shares are from 0 to 1.
A metric marked * depends on the machine; the others repeat bit for bit (docs/determinism.md). A metric that cannot be
computed in a step is absent from its line.
`;

const last_section = "Other metrics";

/** docs/metrics.md */
export function metricsPage(): string {
  const titles = new Set([...metrics.keys()].map(sectionOf));
  if (titles.delete(last_section)) titles.add(last_section);
  const sections = [...titles].map((title) =>
    section(
      title,
      [...metrics].filter(([name]) => sectionOf(name) === title),
    ),
  );
  const parts = Object.entries(reward_parts).map(([name, part]): Row => [`${name}.<name>`, part]);
  const words = `The words: ${reflection_words.join(", ")}. \`report\` names the ratios:

| In a report | Formula |
|---|---|
${Object.entries(ratio_names)
  .map(([name, formula]) => `| ${name} | ${formula} |`)
  .join("\n")}
`;
  return [
    head,
    ...sections,
    section("Parts of the reward", parts),
    `## Words of reflection\n${words}`,
    section("Evaluation", Object.entries(evaluation_metrics)).replace(
      "\n",
      "\nn completions of an item, c of them correct. Settings, votes, controls and files: docs/evaluation.md.\n",
    ),
  ].join("\n");
}

const section = (title: string, rows: readonly Row[]): string =>
  [
    `## ${title}`,
    "",
    "| Metric | Unit | Definition | Source |",
    "|---|---|---|---|",
    ...rows.map(
      ([name, { unit, formula, source = "", reproducible = true }]) =>
        `| \`${name}\`${reproducible ? "" : " *"} | ${unit} | ${cell(formula)} | ${source} |`,
    ),
    "",
  ].join("\n");

const cell = (text: string): string => text.replaceAll("|", "\\|");
