import { UserError } from "../errors.js";

type Test = (value: number) => boolean;

/** Expectation and test of a whole number from `least` on, to be spread into a check. */
export const whole = (least: number): [expected: string, test: Test] => [
  `a whole number from ${least} on`,
  (value) => Number.isSafeInteger(value) && value >= least,
];

/**
 * Checks number options of one command; yargs turns a word into NaN. An option that is not given passes.
 * @throws UserError CONFIG_INVALID
 */
export function numberCheck<Args extends object>(command: string, args: Args) {
  return (option: keyof Args & string, expected: string, test: Test): void => {
    const value: unknown = args[option];
    if (value === undefined || (typeof value === "number" && test(value))) return;
    throw new UserError("CONFIG_INVALID", `--${option} must be ${expected}`, `sightloop ${command} --help`);
  };
}
