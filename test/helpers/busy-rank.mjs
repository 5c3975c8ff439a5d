// A rank that keeps its main thread busy for `busy_ms`, many times the liveness timeout, before it meets the other.
import { connect } from "../../dist/ranks/connect.js";

/** @type {{ rank: number, port: number, busy_ms: number }} */
const { rank, port, busy_ms } = JSON.parse(process.argv[2] ?? "{}");
const ranks = await connect({
  ...{ rank, world_size: 2, local_world_size: 2, port, address: "127.0.0.1", attempt: "0", interface: "" },
  ...{ store_is_launchers: false, rendezvous_timeout_s: 30, collective_timeout_s: 60, liveness_timeout_s: 1 },
  same: {},
  onLost: (error) => {
    console.error(error.message);
    process.exit(3);
  },
});
if (busy_ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busy_ms);
const all = await ranks.agree({ value: rank });
await ranks.leave();
process.exit(all.join() === "0,1" ? 0 : 1);
