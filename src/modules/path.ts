import { z } from "zod";

/** A user's TypeScript or JavaScript file; relative to the config file that names it. */
export const modulePath = z.string().regex(/\.[cm]?[jt]s$/, "a .ts, .mts, .cts, .js, .mjs or .cjs file");
