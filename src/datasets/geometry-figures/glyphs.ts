/**
 * A stroke font, so that a figure is the same on every machine, whatever fonts it has. Each glyph stands on a grid 4 wide and
 * 6 high, y down; strokes are separated by ";", points are two digits, x and y.
 */
const glyphs: Readonly<Record<string, string>> = {
  "0": "10 30 41 45 36 16 05 01 10",
  "1": "11 20 26;16 36",
  "2": "01 10 30 41 42 06 46",
  "3": "01 10 30 41 42 33 44 45 36 16 05;13 33",
  "4": "36 30 04 44",
  "5": "40 00 02 32 43 45 36 16 05",
  "6": "30 10 01 05 16 36 45 44 33 03",
  "7": "00 40 16",
  "8": "10 30 41 42 33 13 02 01 10;13 04 05 16 36 45 44 33",
  "9": "16 36 45 41 30 10 01 02 13 43",
  "?": "01 10 30 41 42 23 24;25 26",
  "°": "10 21 12 01 10",
  A: "06 20 46;14 34",
  B: "00 06 36 45 44 33 03;33 42 41 30 00",
  C: "41 30 10 01 05 16 36 45",
  D: "00 06 26 44 42 20 00",
  E: "40 00 06 46;03 33",
  F: "40 00 06;03 33",
  G: "41 30 10 01 05 16 36 45 43 23",
  O: "10 30 41 45 36 16 05 01 10",
};

const [glyph_width, glyph_height, gap] = [4, 6, 2];

/** SVG path data of a text whose middle is at (x, y), `height` units high. */
export function textPath(text: string, x: number, y: number, height: number): string {
  const scale = height / glyph_height;
  const width = (text.length * (glyph_width + gap) - gap) * scale;
  const path: string[] = [];
  [...text].forEach((character, i) => {
    const glyph = glyphs[character];
    if (glyph === undefined) throw new Error(`no glyph for ${JSON.stringify(character)}`);
    const left = x - width / 2 + i * (glyph_width + gap) * scale;
    for (const stroke of glyph.split(";"))
      stroke.split(" ").forEach((point, n) => {
        const [px, py] = [left + Number(point[0]) * scale, y - height / 2 + Number(point[1]) * scale];
        path.push(`${n === 0 ? "M" : "L"}${px.toFixed(2)} ${py.toFixed(2)}`);
      });
  });
  return path.join("");
}
