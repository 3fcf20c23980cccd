// # The built-in data set: garments drawn by code
//
// Where there is no network there is no Fashion-MNIST, and yet a first run has to show a network
// that learns. So the ten kinds of garment are drawn here, on 28×28 pixels as there: an outline
// or two in design coordinates, filled with a shade, posed a little differently each time. Cut,
// sleeves, fabric, pattern and noise vary, and some shirts do look like T-shirts: a network has
// something to learn, and something left to get wrong.
//
// Every machine draws the same bits: an image depends on its number alone, and nothing is used
// but sums, products, quotients and roundings, which IEEE arithmetic fixes exactly.

import { Generator } from "../random.js";
import { fashionClasses, type ImageDataset, type TrainingData } from "./dataset.js";

const SIDE = 28;
const CENTRE = SIDE / 2;

// ## Chance

/** The choices that make one garment differ from the next. */
class Chance {
  constructor(private readonly generator: Generator) {}

  between(low: number, high: number): number {
    return low + (high - low) * (this.generator.random() / 2 ** 32);
  }

  happens(probability: number): boolean {
    return this.between(0, 1) < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.between(0, items.length))];
  }
}

// ## Outlines
//
// Design coordinates are pixels, x to the right and y down, the garment's middle at x = 14.

type Point = readonly [x: number, y: number];
type Outline = readonly Point[];

/** A curve from `a` to `b` that heads for `control` (a parabola, in eight pieces). */
function curve(a: Point, control: Point, b: Point): Outline {
  return Array.from({ length: 9 }, (_, k) => {
    const t = k / 8;
    const [p, q, r] = [(1 - t) * (1 - t), 2 * t * (1 - t), t * t];
    return [p * a[0] + q * control[0] + r * b[0], p * a[1] + q * control[1] + r * b[1]] as const;
  });
}

/** An outline symmetric about the middle, from its right half: x counts from the middle. */
function symmetric(right: Outline): Outline {
  const half = right.map(([x, y]): Point => [CENTRE + x, y]);
  return [...half, ...mirror(half).reverse()];
}

const mirror = (outline: Outline): Point[] => outline.map(([x, y]) => [2 * CENTRE - x, y]);

const box = (left: number, top: number, right: number, bottom: number): Outline => [
  [left, top],
  [right, top],
  [right, bottom],
  [left, bottom],
];

/** A band of `width` along a line. */
function band(line: Outline, width: number): Outline {
  const shifted = (side: number): Point[] =>
    line.map(([x, y], i) => {
      const [ax, ay] = line[Math.max(0, i - 1)];
      const [bx, by] = line[Math.min(line.length - 1, i + 1)];
      // An estimate of the length, right within 8 %, that needs no root.
      const [w, h] = [Math.abs(bx - ax), Math.abs(by - ay)];
      const length = Math.max(w, h) + 0.4 * Math.min(w, h);
      return [x - ((by - ay) / length) * side, y + ((bx - ax) / length) * side];
    });
  return [...shifted(width / 2), ...shifted(-width / 2).reverse()];
}

// ## The canvas
//
// Each pixel row is four thin rows; on each of them an outline covers spans, whose ends may lie
// inside a pixel. What is covered by a fraction takes the new shade by that fraction.

/** A shade 0..255, or one that depends on the place in design coordinates. */
type Shade = number | ((x: number, y: number) => number);

const ROWS_PER_PIXEL = 4;

class Canvas {
  readonly pixels = new Float64Array(SIDE * SIDE);
  private readonly scaleX: number;
  private readonly scaleY: number;
  private readonly lean: number;
  private readonly shiftX: number;
  private readonly shiftY: number;

  /** The pose is drawn once and shared by all parts of a garment. */
  constructor(chance: Chance) {
    this.scaleX = chance.between(0.82, 1.06);
    this.scaleY = chance.between(0.84, 1.03);
    this.lean = chance.between(-0.06, 0.06);
    this.shiftX = chance.between(-1.2, 1.2);
    this.shiftY = chance.between(-1, 1);
  }

  paint(outline: Outline, shade: Shade, opacity = 1): void {
    const posed = outline.map(([x, y]): Point => {
      const [u, v] = [x - CENTRE, y - CENTRE];
      return [
        CENTRE + this.scaleX * u + this.lean * v + this.shiftX,
        CENTRE + this.scaleY * v + this.shiftY,
      ];
    });
    const coverage = cover(posed);
    for (let row = 0; row < SIDE; row++)
      for (let column = 0; column < SIDE; column++) {
        const i = row * SIDE + column;
        const part = coverage[i] * opacity;
        if (part === 0) continue;
        const v = (row + 0.5 - CENTRE - this.shiftY) / this.scaleY;
        const u = (column + 0.5 - CENTRE - this.shiftX - this.lean * v) / this.scaleX;
        const value = typeof shade === "number" ? shade : shade(CENTRE + u, CENTRE + v);
        this.pixels[i] += part * (value - this.pixels[i]);
      }
  }

  /** The picture as bytes, with `grain` of noise wherever something was painted. */
  develop(chance: Chance, grain: number): Uint8Array {
    const bytes = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < bytes.length; i++)
      if (this.pixels[i] >= 1) {
        const value = this.pixels[i] + chance.between(-grain, grain);
        bytes[i] = Math.round(Math.min(255, Math.max(1, value)));
      }
    return bytes;
  }
}

/** Which part of each pixel lies inside `outline`: 0 to 1. */
function cover(outline: Outline): Float64Array {
  const coverage = new Float64Array(SIDE * SIDE);
  const heights = outline.map(([, y]) => y * ROWS_PER_PIXEL);
  const first = Math.max(0, Math.floor(Math.min(...heights)));
  const end = Math.min(SIDE * ROWS_PER_PIXEL, Math.ceil(Math.max(...heights)));
  for (let line = first; line < end; line++) {
    const y = (line + 0.5) / ROWS_PER_PIXEL;
    const crossings: number[] = [];
    for (let k = 0; k < outline.length; k++) {
      const a = outline[k];
      const b = outline[k + 1 < outline.length ? k + 1 : 0];
      if (a[1] <= y !== b[1] <= y)
        crossings.push(a[0] + ((y - a[1]) / (b[1] - a[1])) * (b[0] - a[0]));
    }
    crossings.sort((a, b) => a - b);
    const row = Math.floor(line / ROWS_PER_PIXEL) * SIDE;
    for (let k = 0; k + 1 < crossings.length; k += 2) {
      const left = Math.max(0, crossings[k]);
      const right = Math.min(SIDE, crossings[k + 1]);
      for (let column = Math.floor(left); column < right; column++)
        coverage[row + column] +=
          Math.max(0, Math.min(right, column + 1) - Math.max(left, column)) / ROWS_PER_PIXEL;
    }
  }
  return coverage;
}

// ## Fabric

/** 1 at whole multiples of `period`, 0 halfway between, straight in between. */
function wave(x: number, period: number): number {
  const phase = x / period - Math.floor(x / period);
  return Math.abs(2 * phase - 1);
}

/** A fabric of the given shade: with folds, and perhaps with a pattern. */
function fabric(chance: Chance, shade: number, patterned: number): Shade {
  const folds = chance.between(0.05, 0.3);
  const foldWidth = chance.between(5, 11);
  const start = chance.between(0, 11);
  const period = chance.between(2.5, 6);
  const second = shade > 128 ? shade * chance.between(0.35, 0.8) : shade + chance.between(40, 110);
  const pattern = chance.happens(patterned)
    ? chance.pick(["across", "down", "checks", "print", "fade"] as const)
    : "plain";
  return (x, y) => {
    const light = 1 - folds * wave(x + 0.3 * y + start, foldWidth);
    const across = wave(y + start, period) > 0.5;
    const down = wave(x + start, period) > 0.5;
    switch (pattern) {
      case "plain":
        return light * shade;
      case "across":
        return light * (across ? shade : second);
      case "down":
        return light * (down ? shade : second);
      case "checks":
        return light * (across === down ? shade : second);
      case "print":
        return light * (Math.abs(x - CENTRE) < 3 && y > 9 && y < 15 ? second : shade);
      case "fade":
        return light * (shade + ((second - shade) * y) / SIDE);
    }
  };
}

const shadeOf = (chance: Chance): number => chance.between(55, 245);

/** A shade that stands out against `shade`. */
const against = (shade: number): number => (shade > 120 ? shade * 0.35 : shade + 110);

// ## Tops
//
// T-shirt, pullover, coat and shirt share one cut: a body with a neck and two sleeves.

interface Cut {
  readonly top: number;
  readonly hem: number;
  /** Half widths. */
  readonly neck: number;
  readonly shoulder: number;
  readonly waist: number;
  readonly bottom: number;
  readonly neckDepth: number;
  /** How far a sleeve reaches down and out, and how wide it ends. */
  readonly sleeve: number;
  readonly spread: number;
  readonly cuff: number;
}

function sewTop(canvas: Canvas, cloth: Shade, seam: number, cut: Cut): void {
  const { top, hem, neck, shoulder, waist, bottom, neckDepth } = cut;
  const armpit = top + 7;
  const right: Outline = [
    [CENTRE + shoulder - 0.8, top + 1],
    ...curve(
      [CENTRE + shoulder, top + 1.4],
      [CENTRE + shoulder + cut.spread * 0.6, top + 3],
      [CENTRE + shoulder + cut.spread, top + 1.5 + cut.sleeve],
    ),
    [CENTRE + shoulder + cut.spread - cut.cuff, top + 2.2 + cut.sleeve],
    [CENTRE + shoulder - 1.2, armpit],
  ];
  for (const sleeve of [right, mirror(right)]) canvas.paint(sleeve, cloth);
  canvas.paint(
    symmetric([
      ...curve([0, top + neckDepth], [neck, top + neckDepth], [neck, top]),
      [shoulder, top + 1.4],
      [shoulder - 0.7, armpit],
      ...curve([shoulder - 0.7, armpit], [waist, (armpit + hem) / 2], [bottom, hem]),
      [0, hem + 0.3],
    ]),
    cloth,
  );
  const armhole = band(
    curve(
      [CENTRE + shoulder, top + 1.4],
      [CENTRE + shoulder - 1.4, top + 4],
      [CENTRE + shoulder - 0.9, armpit],
    ),
    0.7,
  );
  for (const line of [armhole, mirror(armhole)]) canvas.paint(line, seam, 0.6);
}

function cutOf(chance: Chance, changes: Partial<Cut>): Cut {
  const shoulder = chance.between(5.8, 7.6);
  return {
    top: chance.between(2.2, 4.2),
    hem: chance.between(22.5, 25.5),
    neck: chance.between(1.9, 3.2),
    shoulder,
    waist: shoulder - chance.between(0, 1.8),
    bottom: shoulder - chance.between(-0.6, 1),
    neckDepth: chance.between(1, 2.6),
    sleeve: chance.between(15, 19.5),
    spread: chance.between(2.6, 4.8),
    cuff: chance.between(2.4, 3.2),
    ...changes,
  };
}

const shortSleeves = (chance: Chance): Partial<Cut> => ({
  sleeve: chance.between(3.5, 7.5),
  spread: chance.between(2.6, 5.4),
  cuff: chance.between(3, 4.2),
});

function drawTShirt(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const cut = cutOf(chance, chance.happens(0.93) ? shortSleeves(chance) : {});
  sewTop(canvas, fabric(chance, shade, 0.45), shade * 0.7, cut);
  if (chance.happens(0.5)) {
    const { top, neck, neckDepth } = cut;
    const neckband = band(
      curve([CENTRE, top + neckDepth], [CENTRE + neck, top + neckDepth], [CENTRE + neck, top]),
      0.9,
    );
    for (const side of [neckband, mirror(neckband)]) canvas.paint(side, against(shade), 0.5);
  }
}

function drawPullover(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const cut = cutOf(chance, { neckDepth: chance.between(0.5, 2) });
  sewTop(canvas, fabric(chance, shade, 0.35), shade * 0.65, cut);
  const rib = shade * chance.between(0.7, 0.92);
  canvas.paint(
    symmetric([
      [0, cut.hem - 1.6],
      [cut.bottom, cut.hem - 1.6],
      [cut.bottom, cut.hem],
      [0, cut.hem],
    ]),
    rib,
  );
  if (chance.happens(0.6))
    canvas.paint(
      symmetric([
        [0, cut.top - 0.4],
        [cut.neck, cut.top - 0.4],
        [cut.neck, cut.top + 0.8],
        [0, cut.top + 1],
      ]),
      rib,
    );
}

function drawCoat(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance) * 0.9;
  const cut = cutOf(chance, {
    top: chance.between(1.4, 3),
    hem: chance.between(24, 26.6),
    neckDepth: chance.between(0.4, 1.6),
  });
  sewTop(canvas, fabric(chance, shade, 0.15), shade * 0.55, cut);
  const dark = shade * chance.between(0.3, 0.7);
  const opening = CENTRE + chance.between(-0.6, 0.6);
  canvas.paint(box(opening - 0.4, cut.top + 1.5, opening + 0.4, cut.hem), dark);
  if (chance.happens(0.7)) {
    const lapel: Outline = [
      [CENTRE + 0.3, cut.top + chance.between(6, 9)],
      [CENTRE + cut.neck, cut.top],
      [CENTRE + cut.neck + 1.6, cut.top + 3],
    ];
    for (const side of [lapel, mirror(lapel)]) canvas.paint(side, dark, 0.7);
  }
  if (chance.happens(0.5))
    for (let y = cut.top + 9; y < cut.hem - 3; y += 4)
      canvas.paint(box(opening + 1, y, opening + 2, y + 1), against(shade));
  if (chance.happens(0.5))
    for (const x of [CENTRE - 4.4, CENTRE + 2])
      canvas.paint(box(x, cut.hem - 8, x + 2.4, cut.hem - 7.2), dark, 0.7);
}

function drawShirt(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const cut = cutOf(chance, chance.happens(0.35) ? shortSleeves(chance) : {});
  sewTop(canvas, fabric(chance, shade, 0.6), shade * 0.7, cut);
  if (chance.happens(0.9)) {
    const collar: Outline = [
      [CENTRE, cut.top + cut.neckDepth + 1],
      [CENTRE + cut.neck - 0.4, cut.top - 0.6],
      [CENTRE + cut.neck + 0.6, cut.top + 0.6],
      [CENTRE + cut.neck - 0.2, cut.top + cut.neckDepth + 2],
    ];
    for (const side of [collar, mirror(collar)])
      canvas.paint(side, Math.min(255, shade * 1.2 + 15));
  }
  if (chance.happens(0.85)) {
    const length = chance.happens(0.8) ? cut.hem : cut.top + 9;
    canvas.paint(
      box(CENTRE - 0.9, cut.top + cut.neckDepth, CENTRE + 0.9, length),
      shade * 0.85,
      0.8,
    );
    for (let y = cut.top + cut.neckDepth + 2; y < length - 1; y += 3)
      canvas.paint(box(CENTRE - 0.4, y, CENTRE + 0.4, y + 0.8), against(shade));
  }
}

// ## Dress and trouser

function drawDress(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const cloth = fabric(chance, shade, 0.35);
  const top = chance.between(0.8, 2.6);
  const hem = chance.between(24, 27);
  const bust = chance.between(3.2, 4.8);
  const waist = bust - chance.between(0, 1.2);
  const bottom = chance.happens(0.5) ? chance.between(3.4, 5.2) : chance.between(5.5, 8.5);
  const waistY = chance.between(10, 13);
  if (chance.happens(0.5)) {
    // With shoulders, and sleeves of any length.
    const cut = { ...cutOf(chance, shortSleeves(chance)), top, shoulder: bust + 0.6 };
    const sleeve = chance.happens(0.6) ? chance.between(1.5, 5) : chance.between(9, 16);
    sewTop(canvas, cloth, shade * 0.7, {
      ...cut,
      hem: waistY,
      waist,
      bottom: waist,
      sleeve,
      spread: chance.between(1.5, 3),
      cuff: chance.between(1.8, 2.6),
    });
  } else {
    const strap = band(
      [
        [CENTRE + bust - 0.9, top + 4.5],
        [CENTRE + bust - 1.6, top],
      ],
      1.2,
    );
    for (const side of [strap, mirror(strap)]) canvas.paint(side, cloth);
  }
  canvas.paint(
    symmetric([
      [0, top + 4.2],
      [bust, top + 3.6],
      ...curve([bust, top + 5], [waist - 0.6, waistY - 2], [waist, waistY]),
      ...curve([waist, waistY], [(waist + bottom) / 2 + 0.4, (waistY + hem) / 2], [bottom, hem]),
      [0, hem + 0.4],
    ]),
    cloth,
  );
  if (chance.happens(0.3))
    canvas.paint(
      symmetric([
        [0, waistY - 0.6],
        [waist, waistY - 0.6],
        [waist, waistY + 0.6],
        [0, waistY + 0.6],
      ]),
      against(shade),
      0.8,
    );
}

function drawTrouser(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const cloth = fabric(chance, shade, 0.1);
  const top = chance.between(1, 2.5);
  const hem = chance.between(25, 27);
  const waist = chance.between(3.2, 4.4);
  const hip = waist + chance.between(0.3, 1.3);
  const crotch = chance.between(8.5, 11.5);
  const gap = chance.between(0.2, 1.9);
  const ankle = chance.between(1.7, 3.4);
  const leg: Outline = [
    [CENTRE, top],
    [CENTRE + waist, top],
    [CENTRE + hip, top + 6],
    [CENTRE + (hip + gap + ankle) / 2, (crotch + hem) / 2],
    [CENTRE + gap + ankle, hem],
    [CENTRE + gap, hem],
    [CENTRE + 0.15, crotch],
    [CENTRE, crotch],
  ];
  for (const side of [leg, mirror(leg)]) canvas.paint(side, cloth);
  if (chance.happens(0.6))
    canvas.paint(box(CENTRE - waist, top, CENTRE + waist, top + 1.2), shade * 0.65);
  if (chance.happens(0.5))
    canvas.paint(box(CENTRE - 0.3, top + 1, CENTRE + 0.3, crotch), shade * 0.6, 0.7);
}

// ## Shoes
//
// All point to the left. The sole runs from the toe (x = 2) to the heel (x = 26).

function drawSandal(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const heel = chance.happens(0.5) ? chance.between(0.5, 2) : chance.between(3, 9);
  const ground = chance.between(20, 23);
  const thickness = chance.between(1.1, 2.6);
  const top = ground - heel;
  const footbed = [
    ...curve([2.5, ground - 1], [12, ground - 0.5], [17, (ground + top) / 2 - 0.6]),
    ...curve([17, (ground + top) / 2 - 0.6], [21, top - 0.6], [25.5, top - 0.8]),
  ];
  canvas.paint(band(footbed, thickness), shade);
  if (heel > 2.5) {
    const wedge = chance.happens(0.4);
    canvas.paint(
      wedge
        ? [
            [12, ground - 0.6],
            [18, (ground + top) / 2],
            [25.5, top],
            [25, ground + 0.6],
            [9, ground + 0.6],
          ]
        : [
            [23.2, top],
            [26, top],
            [25.4, ground + 0.8],
            [24.2, ground + 0.8],
          ],
      shade * 0.85,
    );
  }
  const strapShade = chance.happens(0.5) ? shade : shadeOf(chance);
  const width = chance.between(0.9, 2);
  const straps = 1 + Math.floor(chance.between(0, 3));
  const rise = chance.between(3, 6);
  for (let k = 0; k < straps; k++) {
    const x = 4.5 + k * chance.between(2.6, 4);
    canvas.paint(
      band(
        curve([x, ground - 1], [x + 1.5, ground - 1 - rise], [x + 5, ground - 1.8 - rise * 0.4]),
        width,
      ),
      strapShade,
    );
  }
  if (chance.happens(0.75)) {
    const ankle = top - chance.between(5, 8.5);
    canvas.paint(
      band(curve([25.2, top], [26, (top + ankle) / 2], [24.6, ankle]), width),
      strapShade,
    );
    canvas.paint(
      band(curve([24.6, ankle], [20, ankle + 2.4], [16.4, ankle + 0.6]), width),
      strapShade,
    );
    if (chance.happens(0.5))
      canvas.paint(
        band(curve([16.4, ankle + 0.6], [15, ankle + 4], [11, ground - rise]), width),
        strapShade,
      );
  }
}

function drawSole(
  canvas: Canvas,
  chance: Chance,
  ground: number,
  heel: number,
  shade: number,
): void {
  const height = chance.between(1.2, 2.6);
  canvas.paint(
    [
      [2, ground - height],
      [26.2, ground - height],
      [26, ground + heel],
      [20, ground + heel],
      [18, ground],
      ...curve([14, ground], [4, ground + 0.4], [2, ground - height]),
    ],
    shade,
  );
}

function drawSneaker(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const ground = chance.between(20.5, 23);
  const low = ground - 1.5;
  const collar = ground - chance.between(7, 11);
  const toe = ground - chance.between(3.2, 4.6);
  const throat = chance.between(14, 17);
  canvas.paint(
    [
      ...curve([2, low], [2, toe], [6.5, toe - 0.4]),
      ...curve([6.5, toe - 0.4], [10, toe - 1], [throat, collar - 0.6]),
      ...curve([throat, collar - 0.6], [20, collar + 3.4], [25, collar]),
      ...curve([25, collar], [27, (collar + low) / 2], [26, low]),
    ],
    fabric(chance, shade, 0.15),
  );
  if (chance.happens(0.6))
    canvas.paint(curveBox(2.2, toe + 0.2, 7.5, low), against(shade), chance.between(0.3, 0.7));
  if (chance.happens(0.7))
    for (let k = 0; k < 3; k++) {
      const [x, y] = [throat - 1.2 - 2 * k, collar + 0.8 + 1.3 * k];
      canvas.paint(
        band(
          [
            [x - 1, y - 0.6],
            [x + 1.6, y + 1.4],
          ],
          0.8,
        ),
        against(shade),
      );
    }
  const stripes = Math.floor(chance.between(0, 4));
  for (let k = 0; k < stripes; k++)
    canvas.paint(
      band(
        [
          [14.5 + 2.2 * k, low],
          [17 + 2.2 * k, collar + 4],
        ],
        1,
      ),
      against(shade),
      0.8,
    );
  drawSole(canvas, chance, ground, chance.between(0, 0.4), chance.pick([245, 220, shade * 0.6]));
}

/** A box whose upper left corner is rounded off: a toe cap. */
const curveBox = (left: number, top: number, right: number, bottom: number): Outline => [
  ...curve([left, bottom], [left, top], [right, top]),
  [right + 0.6, bottom],
];

function drawAnkleBoot(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const heel = chance.happens(0.55) ? chance.between(0, 1.2) : chance.between(2, 5.5);
  const ground = 25 - heel - chance.between(0, 1.2);
  const low = ground - 1.5;
  const top = chance.between(2.5, 9.5);
  const toe = ground - chance.between(3.4, 5.5);
  const front = chance.between(12.5, 15.5);
  canvas.paint(
    [
      ...curve([2, low], [2, toe], [6.5, toe - 0.6]),
      ...curve([6.5, toe - 0.6], [front - 0.5, toe - 2], [front, top + 4]),
      [front - 0.4, top],
      [25.6, top + chance.between(-0.8, 0.8)],
      ...curve([25.2, top + 3], [24.6, (top + low) / 2], [26, low]),
    ],
    fabric(chance, shade, 0.1),
  );
  if (chance.happens(0.5)) canvas.paint(box(front - 0.4, top, 25.6, top + 1.6), shade * 0.7);
  if (chance.happens(0.4))
    for (let y = top + 2; y < toe - 2; y += 2)
      canvas.paint(box(front, y, front + 2.6, y + 0.8), against(shade));
  if (chance.happens(0.35))
    canvas.paint(
      [
        [19, top + 1],
        [22, top + 1],
        [21.4, top + 8],
        [19.6, top + 8],
      ],
      shade * 0.55,
    );
  drawSole(canvas, chance, ground, heel, chance.pick([shade * 0.5, shade * 0.75, 30, 200]));
}

// ## Bag

function drawBag(canvas: Canvas, chance: Chance): void {
  const shade = shadeOf(chance);
  const half = chance.between(7.5, 12);
  const slope = chance.between(-1.8, 1.2);
  const clutch = chance.happens(0.15);
  const top = clutch ? chance.between(8, 10) : chance.between(8.5, 13);
  const bottom = chance.between(clutch ? 18 : 21.5, clutch ? 22 : 26);
  if (!clutch) {
    const reach = chance.between(3, Math.min(7, half - 1));
    const height = chance.between(3, 9);
    const from: Point = [CENTRE - reach, top + 0.6];
    const to: Point = [CENTRE + reach, top + 0.6];
    const peak = top - 2 * height;
    const round = curve(from, [CENTRE, peak], to);
    const square: Outline = [
      from,
      [CENTRE - reach + 1, top - height],
      [CENTRE + reach - 1, top - height],
      to,
    ];
    canvas.paint(band(chance.happens(0.6) ? round : square, chance.between(0.9, 1.9)), shade * 0.8);
  }
  canvas.paint(
    symmetric([
      [0, top],
      [half + slope - 1, top],
      [half + slope, top + 1],
      [half, bottom - 1.4],
      [half - 1.2, bottom],
      [0, bottom],
    ]),
    fabric(chance, shade, 0.3),
  );
  if (chance.happens(0.5)) {
    const flap = top + (bottom - top) * chance.between(0.3, 0.6);
    canvas.paint(
      band(
        curve([CENTRE - half, top + 2], [CENTRE, 2 * flap - top], [CENTRE + half, top + 2]),
        0.8,
      ),
      shade * 0.5,
    );
    canvas.paint(box(CENTRE - 1, flap, CENTRE + 1, flap + 1.8), against(shade));
  } else if (chance.happens(0.6))
    canvas.paint(box(CENTRE - half, top + 1.6, CENTRE + half, top + 2.4), shade * 0.5);
  if (chance.happens(0.3))
    canvas.paint(
      box(CENTRE - half * 0.6, bottom - 6, CENTRE + half * 0.6, bottom - 2),
      against(shade),
      0.4,
    );
}

// ## The data set

/** By label. */
const draw: readonly ((canvas: Canvas, chance: Chance) => void)[] = [
  drawTShirt,
  drawTrouser,
  drawPullover,
  drawDress,
  drawCoat,
  drawSandal,
  drawShirt,
  drawSneaker,
  drawBag,
  drawAnkleBoot,
];

/** Every ten images in a row show the ten classes, in an order of their own. */
function drawMany(count: number, split: 0 | 1): ImageDataset {
  const images = new Uint8Array(count * SIDE * SIDE);
  const labels = new Uint8Array(count);
  for (let first = 0; first < count; first += 10) {
    const generator = new Generator(2 * first + split);
    const chance = new Chance(generator);
    labels.set(generator.randperm(10).subarray(0, count - first), first);
    for (let i = first; i < Math.min(first + 10, count); i++) {
      const canvas = new Canvas(chance);
      draw[labels[i]](canvas, chance);
      images.set(canvas.develop(chance, chance.between(3, 16)), i * SIDE * SIDE);
    }
  }
  const [name, classes] = ["built-in drawings", fashionClasses];
  return { name, classes, images, labels, count, height: SIDE, width: SIDE };
}

/**
 * Draws a training and a test set of garments, in the classes of Fashion-MNIST. The classes are
 * as frequent as each other, and the first images of a larger set are those of a smaller one.
 *
 * Shape: `images` are `[count, 28, 28]`. Units: `train` and `test` are numbers of images.
 * Throws: RangeError for a number of images that is not a positive whole number.
 */
export function builtInDataset({ train = 6000, test = 1000 } = {}): TrainingData {
  for (const count of [train, test])
    if (!Number.isInteger(count) || count < 1)
      throw new RangeError(`builtInDataset: ${count} images, expected a whole number above 0`);
  return {
    train: drawMany(train, 0),
    test: drawMany(test, 1),
    source: `built-in drawings: ${train} training and ${test} test images`,
  };
}
