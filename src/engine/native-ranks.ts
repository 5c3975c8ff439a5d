import { loadAddon, type RanksHandle } from "./addon.js";
import { asUserError, rank_lost_hint } from "./native-error.js";

export { rank_lost_hint };

/** How the processes of one run find each other. */
export interface Rendezvous {
  readonly rank: number;
  readonly world_size: number;
  /** Of rank 0, which listens there and nowhere else. */
  readonly address: string;
  readonly port: number;
  /** A launcher's own store listens there (torchrun). */
  readonly store_is_launchers: boolean;
  /** Tells one start of the ranks from the next where the store outlives them. */
  readonly attempt: string;
  /** Network interface of the collectives; empty: the one that reaches `address`. */
  readonly interface: string;
  /** Seconds to wait for every rank to arrive, and for one collective. */
  readonly rendezvous_timeout_s: number;
  readonly collective_timeout_s: number;
}

/** c10d between the ranks: the engine reduces gradients over it, and processes tell each other bytes. */
export interface NativeRanks {
  readonly handle: RanksHandle;
  /** This host, as the other ranks reach it. */
  readonly local_address: string;
  /** Every rank's bytes, by rank. Every rank calls it the same number of times. */
  exchange(bytes: Uint8Array): Promise<readonly Uint8Array[]>;
  close(): Promise<void>;
}

/** @throws UserError RENDEZVOUS_FAILED naming the ranks that are missing or do not fit */
export async function connectRanks(options: Rendezvous): Promise<NativeRanks> {
  const addon = loadAddon();
  const native = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw asUserError(error, {
        code: "RENDEZVOUS_FAILED",
        hint: "docs/distributed.md says how ranks are started; --rendezvous-timeout waits longer for them.",
      });
    }
  };
  const { ranks: handle, local_address } = await native(addon.openRanks(JSON.stringify(options)));
  return {
    handle,
    local_address,
    exchange: (bytes) =>
      addon.exchange(handle, bytes).catch((error: unknown) => {
        throw asUserError(error, { code: "RANK_LOST", hint: rank_lost_hint });
      }),
    close: () => addon.closeRanks(handle),
  };
}
