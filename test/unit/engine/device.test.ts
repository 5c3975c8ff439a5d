import { describe, expect, test } from "vitest";
import { deviceName } from "../../../src/engine/device.js";

describe("which device a process takes", () => {
  test.each([
    ["auto", 0, {}, "cpu"],
    ["auto", 2, {}, "cuda:0"],
    ["cpu", 8, { LOCAL_RANK: "3" }, "cpu"],
    ["cuda", 8, { LOCAL_RANK: "3" }, "cuda:3"],
    ["auto", 8, { SLURM_LOCALID: "7" }, "cuda:7"],
    ["cuda", 1, { LOCAL_RANK: "3", CUDA_VISIBLE_DEVICES: "3" }, "cuda:0"],
  ] as const)("%s, %i devices, %o: %s", (choice, devices, env, name) => {
    expect(deviceName(choice, env, devices)).toBe(name);
  });

  test("a device that is not there", () => {
    expect(() => deviceName("cuda", {}, 0)).toThrow(expect.objectContaining({ code: "DEVICE_UNAVAILABLE" }) as Error);
  });

  test("more processes than devices", () => {
    expect(() => deviceName("auto", { LOCAL_RANK: "2" }, 2)).toThrow(
      expect.objectContaining({
        code: "DEVICE_UNAVAILABLE",
        message: "process 2 of this machine (from 0) has no device: there are 2",
      }) as Error,
    );
  });
});
