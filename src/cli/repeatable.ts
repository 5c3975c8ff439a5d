/** An option of a command that may be given several times; without it, an empty list. */
export const repeatable = {
  type: "string" as const,
  array: true as const,
  nargs: 1,
  default: [] as string[],
  defaultDescription: "none",
};
