import { expect, test } from "vitest";
import { checkDevice } from "../../../src/cli/check-device.js";

test.each([
  [8, true, "ok", "8 NVIDIA devices, and the CPU"],
  [1, true, "ok", "1 NVIDIA device, and the CPU"],
  [0, false, "ok", "the CPU; no NVIDIA driver"],
  [0, true, "warning", "the CPU, although an NVIDIA driver is here"],
] as const)("%i devices, driver %s: %s", (devices, has_driver, status, detail) => {
  const finding = checkDevice(devices, has_driver);
  expect(finding).toMatchObject({ name: "device", status, detail });
  expect(finding.fix === undefined).toBe(status === "ok");
});
