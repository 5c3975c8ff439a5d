import type { Outcome, Ranks } from "../../../src/ranks/ranks.js";

/** Ranks that meet in this process: `agree` as over the network, in the order of calls. */
export function inMemory(world_size: number): readonly Ranks[] {
  const meetings: { outcomes: Map<number, Outcome<unknown>>; met: () => void; all: Promise<void> }[] = [];
  const meeting = (turn: number) => {
    if (meetings[turn] === undefined) {
      let met = (): void => {};
      const all = new Promise<void>((resolve) => (met = resolve));
      meetings[turn] = { outcomes: new Map(), met, all };
    }
    return meetings[turn];
  };
  return Array.from({ length: world_size }, (_, rank): Ranks => {
    let turn = 0;
    return {
      ...{ rank, world_size, local_world_size: world_size, handle: null },
      agree: async <T>(outcome: Outcome<T>) => {
        const { outcomes, met, all } = meeting(turn++);
        outcomes.set(rank, structuredClone(outcome));
        if (outcomes.size === world_size) met();
        await all;
        const told = Array.from({ length: world_size }, (_, from) => outcomes.get(from)!);
        for (const one of told) if ("error" in one) throw one.error;
        return told.map((one) => (one as { readonly value: T }).value);
      },
      watch: (signal) => signal,
      waitedSeconds: () => 0,
      at: () => {},
    };
  });
}
