import { existsSync, readdirSync } from "node:fs";
import js from "@eslint/js";
import { createTypeScriptImportResolver } from "eslint-import-resolver-typescript";
import { importX } from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/**
 * Who may import whom inside src/: a room (a folder, or a folder inside pipeline/) and what it may use besides itself.
 * The reasons are in CONTRIBUTING.md, "Who may import whom". A folder without a row here fails the lint.
 */
const rooms = {
  config: ["datasets/registry.ts", "rewards/registry.ts", "trackers/registry.ts", "errors.ts"], // names and params of the plug-ins
  batches: ["errors.ts"],
  engine: ["batches", "errors.ts"],
  ranks: ["engine/native-ranks.ts", "engine/addon.ts", "errors.ts"],
  hub: ["reports/lock.ts", "errors.ts"],
  datasets: ["batches/sample.ts", "hub", "errors.ts"], // what a dataset yields, and where its files may lie
  modules: ["errors.ts"],
  rewards: ["modules", "errors.ts"],
  trackers: ["modules", "pipeline/events.ts", "reports/metrics.ts", "reports/files.ts", "errors.ts"],
  "pipeline/data": ["batches", "engine/engine.ts", "datasets", "errors.ts"],
  "pipeline/rollout": ["batches", "engine/engine.ts", "errors.ts"],
  "pipeline/trajectory": ["batches", "engine/engine.ts", "rewards", "errors.ts"],
  "pipeline/update": ["batches", "engine/engine.ts", "errors.ts"],
  reports: ["batches", "pipeline/events.ts", "errors.ts"],
  health: ["config/health.ts", "pipeline/events.ts", "reports/format-metric.ts"],
  dashboard: ["reports", "pipeline/data/tokenizer.ts", "errors.ts"],
  "dashboard/page": ["dashboard/api.ts"], // runs in the browser
  evaluate: [
    "batches",
    "engine/engine.ts",
    "ranks/ranks.ts",
    "pipeline/data",
    "pipeline/rollout",
    "rewards",
    "errors.ts",
  ],
  launch: ["config", "errors.ts"],
};

/** Rooms that connect the others: they may use everything but what is listed. */
const connecting = {
  pipeline: ["cli", "index.ts", "launch", "bench", "study"],
  bench: ["cli", "index.ts", "launch", "study"],
  study: ["cli", "index.ts", "bench", "engine", "pipeline", "launch"], // its runs are processes
  cli: ["index.ts"],
};

const folders = existsSync("src")
  ? readdirSync("src", { withFileTypes: true }).filter((entry) => entry.isDirectory())
  : [];
for (const { name } of folders)
  if (!(name in rooms) && !(name in connecting)) throw new Error(`src/${name} has no row in eslint.config.js, "rooms"`);

const zones = [
  ...Object.entries(rooms).map(([room, uses]) => ({
    target: `./src/${room}`,
    from: "./src",
    except: [room, ...uses].map((path) => `./${path}`),
    message: `${room} may use only: ${uses.join(", ")}.`,
  })),
  { target: "./src/index.ts", from: "./src/cli", message: "The library never uses the command line." },
  ...Object.entries(connecting).flatMap(([room, never]) =>
    never.map((path) => ({ target: `./src/${room}`, from: `./src/${path}`, message: `${room} never uses ${path}.` })),
  ),
];

export default tseslint.config(
  { ignores: ["build", "build-asan", "build-fuzz", "dist", "node_modules", "runs", "test/fixtures", "native"] },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ["./test/tsconfig.json", "./src/dashboard/page/tsconfig.json"],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/require-await": "off", // an async function without await turns a throw into a rejection
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
    },
  },
  {
    files: ["src/**/*.ts"],
    plugins: { "import-x": importX },
    settings: { "import-x/resolver-next": [createTypeScriptImportResolver({ project: "./tsconfig.json" })] },
    rules: {
      "import-x/no-restricted-paths": ["error", { zones }],
      "import-x/no-cycle": "error",
      "no-console": "error",
    },
  },
  { files: ["src/cli/**"], rules: { "no-console": "off" } },
  {
    files: ["src/**/*.ts"],
    ignores: ["src/engine/addon.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        { paths: [{ name: "bindings", message: "Only src/engine/addon.ts loads the addon." }] },
      ],
    },
  },
  {
    files: ["**/*.mjs", "*.js"],
    languageOptions: { globals: { process: "readonly", console: "readonly" } },
  },
);
