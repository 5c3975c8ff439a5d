import { describe, expect, test } from "vitest";
import { placeFrom } from "../../../src/launch/environment.js";

const standard = { RANK: "1", WORLD_SIZE: "4", MASTER_ADDR: "10.0.0.1", MASTER_PORT: "29500" };

describe("a process's place", () => {
  test("alone, without the variables, or as one of one", () => {
    expect(placeFrom({})).toBeUndefined();
    expect(placeFrom({ ...standard, RANK: "0", WORLD_SIZE: "1" })).toBeUndefined();
    // The batch script of Slurm is none of srun's processes.
    expect(placeFrom({ SLURM_PROCID: "0", SLURM_NTASKS: "8" })).toBeUndefined();
  });

  test("by the standard variables", () => {
    expect(placeFrom({ ...standard, LOCAL_WORLD_SIZE: "2", GLOO_SOCKET_IFNAME: "eth1" })).toEqual({
      ...{ rank: 1, world_size: 4, local_world_size: 2, address: "10.0.0.1", port: 29500 },
      ...{ store_is_launchers: false, attempt: "0", interface: "eth1" },
    });
  });

  test("by torchrun, whose own store listens there", () => {
    const torchrun = { TORCHELASTIC_USE_AGENT_STORE: "True", TORCHELASTIC_RESTART_COUNT: "2" };
    expect(placeFrom({ ...standard, ...torchrun })).toMatchObject({ store_is_launchers: true, attempt: "2" });
  });

  test("by srun", () => {
    const { MASTER_ADDR, MASTER_PORT } = standard;
    const srun = { SLURM_STEP_ID: "0", SLURM_PROCID: "3", SLURM_STEP_NUM_TASKS: "9" };
    const started = { MASTER_ADDR, MASTER_PORT, ...srun };
    const nodes = { SLURM_STEP_TASKS_PER_NODE: "4(x2),1" };
    expect(placeFrom(started)).toMatchObject({ rank: 3, world_size: 9, local_world_size: 1 });
    const here = (node: string) => placeFrom({ ...started, ...nodes, SLURM_NODEID: node })?.local_world_size;
    expect(["0", "1", "2"].map(here)).toEqual([4, 4, 1]);
    expect(() => placeFrom({ ...started, SLURM_STEP_TASKS_PER_NODE: "many" })).toThrow('is "many", not a list');
    expect(() => placeFrom(srun)).toThrow("MASTER_ADDR is not set");
  });

  test.each([
    [{ RANK: "4" }, "RANK is 4, but the 4 ranks of WORLD_SIZE count from 0"],
    [{ RANK: "-1" }, 'RANK is "-1", not a whole number from 0'],
    [{ WORLD_SIZE: "two" }, 'WORLD_SIZE is "two"'],
    [{ WORLD_SIZE: undefined }, "WORLD_SIZE is not set"],
    [{ MASTER_PORT: "70000" }, 'MASTER_PORT is "70000", not a whole number from 1 to 65535'],
    [{ MASTER_ADDR: "" }, "MASTER_ADDR is not set"],
  ])("%o is refused", (changes, message) => {
    expect(() => placeFrom({ ...standard, ...changes })).toThrow(message);
  });
});
