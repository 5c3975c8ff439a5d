// npm run docs:metrics: writes docs/metrics.md from the tables in src/reports. Needs a built checkout.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.mjs";
import { metricsPage } from "../dist/reports/metrics-page.js";

writeFileSync(join(root, "docs", "metrics.md"), metricsPage());
