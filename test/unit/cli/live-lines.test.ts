import { expect, test } from "vitest";
import { fitted } from "../../../src/cli/live-lines.js";
import { sparkline } from "../../../src/cli/sparkline.js";

test.each([
  [[0, 1], "▁█"],
  [[1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"],
  [[-2, 0, -1], "▁█▅"],
  [[3, 3, 3], "▄▄▄"],
  [[], ""],
])("a sparkline of %j", (values, line) => expect(sparkline(values)).toBe(line));

test("a sparkline shows the last values, by their own range", () => {
  expect(sparkline([100, 0, 1, 2], 3)).toBe("▁▅█");
});

test("a line of the foot fits the terminal and cannot move its cursor", () => {
  expect(fitted("short", 10)).toBe("short");
  expect(fitted("twelve chars", 10)).toBe("twelve ch…");
  expect(fitted("a\nb\tc\u001b[2Jd", 20)).toBe("a b c [2Jd");
  expect(fitted("🙂🙂🙂🙂", 3)).toBe("🙂🙂…");
  expect(fitted("x", 0)).toBe("…");
});
