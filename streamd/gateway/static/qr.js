/**
 * QR codes (ISO/IEC 18004): text as bytes, error correction M, versions 1 to 15.
 */
import { svg } from "./dom.js";

/** Of each version at level M: error correction bytes per block, then the blocks' data bytes. */
const BLOCKS = [
  [10, [[1, 16]]],
  [16, [[1, 28]]],
  [26, [[1, 44]]],
  [18, [[2, 32]]],
  [24, [[2, 43]]],
  [16, [[4, 27]]],
  [18, [[4, 31]]],
  [
    22,
    [
      [2, 38],
      [2, 39],
    ],
  ],
  [
    22,
    [
      [3, 36],
      [2, 37],
    ],
  ],
  [
    26,
    [
      [4, 43],
      [1, 44],
    ],
  ],
  [
    30,
    [
      [1, 50],
      [4, 51],
    ],
  ],
  [
    22,
    [
      [6, 36],
      [2, 37],
    ],
  ],
  [
    22,
    [
      [8, 37],
      [1, 38],
    ],
  ],
  [
    24,
    [
      [4, 40],
      [5, 41],
    ],
  ],
  [
    24,
    [
      [5, 41],
      [5, 42],
    ],
  ],
];
/** Centres of the alignment patterns. */
const ALIGNMENT = [
  [],
  [6, 18],
  [6, 22],
  [6, 26],
  [6, 30],
  [6, 34],
  [6, 22, 38],
  [6, 24, 42],
  [6, 26, 46],
  [6, 28, 50],
  [6, 30, 54],
  [6, 32, 58],
  [6, 34, 62],
  [6, 26, 46, 66],
  [6, 26, 48, 70],
];
const QUIET = 4;

// The field GF(256) with the polynomial x^8 + x^4 + x^3 + x^2 + 1.
const EXP = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i++, x = (x << 1) ^ (x & 128 ? 0x11d : 0)) {
  EXP[i] = EXP[i + 255] = x;
  LOG[x] = i;
}
const times = (a, b) => (a && b ? EXP[LOG[a] + LOG[b]] : 0);

/** @param {string} text @returns {boolean[][]} rows of modules, true is dark; throws where the text is too long */
function qrModules(text) {
  const data = new TextEncoder().encode(text);
  const version = BLOCKS.findIndex(([, groups], i) => capacity(groups) >= data.length + (i < 9 ? 2 : 3)) + 1;
  if (version === 0) throw new RangeError("too long for a QR code");
  const bits = codewords(data, version);
  const size = version * 4 + 17;
  let best = null;
  for (let mask = 0; mask < 8; mask++) {
    const grid = draw(size, version, bits, mask);
    const penalty = score(grid);
    if (!best || penalty < best.penalty) best = { grid, penalty };
  }
  return best.grid;
}

const capacity = (groups) => groups.reduce((sum, [n, size]) => sum + n * size, 0);

/** The data, padded, with its error correction, interleaved; as bits. */
function codewords(data, version) {
  const [ecSize, groups] = BLOCKS[version - 1];
  const total = capacity(groups);
  const bits = [];
  const push = (value, length) => {
    for (let i = length - 1; i >= 0; i--) bits.push((value >> i) & 1);
  };
  push(4, 4);
  push(data.length, version < 10 ? 8 : 16);
  data.forEach((byte) => push(byte, 8));
  push(0, Math.min(4, total * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const bytes = [];
  for (let i = 0; i < bits.length; i += 8) bytes.push(parseInt(bits.slice(i, i + 8).join(""), 2));
  for (let pad = 0xec; bytes.length < total; pad ^= 0xec ^ 0x11) bytes.push(pad);

  const blocks = [];
  for (const [n, size] of groups) for (let i = 0; i < n; i++) blocks.push(bytes.splice(0, size));
  const corrections = blocks.map((block) => correction(block, ecSize));
  const out = [];
  for (let i = 0; i < Math.max(...blocks.map((b) => b.length)); i++)
    for (const block of blocks) if (i < block.length) out.push(block[i]);
  for (let i = 0; i < ecSize; i++) for (const block of corrections) out.push(block[i]);
  return out.flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((i) => (byte >> i) & 1));
}

/** The remainder of Reed and Solomon's division. */
function correction(block, size) {
  let divisor = [1];
  for (let i = 0; i < size; i++) divisor = [...divisor, 0].map((c, j) => c ^ times(divisor[j - 1] ?? 0, EXP[i]));
  const rest = [...block, ...new Array(size).fill(0)];
  for (let i = 0; i < block.length; i++) {
    const factor = rest[i];
    if (factor) divisor.forEach((c, j) => (rest[i + j] ^= times(c, factor)));
  }
  return rest.slice(block.length);
}

const MASKS = [
  (r, c) => (r + c) % 2 === 0,
  (r) => r % 2 === 0,
  (r, c) => c % 3 === 0,
  (r, c) => (r + c) % 3 === 0,
  (r, c) => ((r >> 1) + Math.floor(c / 3)) % 2 === 0,
  (r, c) => ((r * c) % 2) + ((r * c) % 3) === 0,
  (r, c) => (((r * c) % 2) + ((r * c) % 3)) % 2 === 0,
  (r, c) => (((r + c) % 2) + ((r * c) % 3)) % 2 === 0,
];

function draw(size, version, bits, mask) {
  const grid = Array.from({ length: size }, () => new Array(size).fill(null));
  const set = (r, c, dark) => {
    if (r >= 0 && c >= 0 && r < size && c < size) grid[r][c] = Boolean(dark);
  };
  for (const [r0, c0] of [
    [0, 0],
    [0, size - 7],
    [size - 7, 0],
  ]) {
    for (let r = -1; r < 8; r++)
      for (let c = -1; c < 8; c++) {
        const ring = Math.max(Math.abs(r - 3), Math.abs(c - 3));
        set(r0 + r, c0 + c, ring === 3 || ring < 2);
      }
  }
  const centres = ALIGNMENT[version - 1];
  for (const r of centres)
    for (const c of centres) {
      if (grid[r][c] !== null) continue;
      for (let i = -2; i <= 2; i++)
        for (let j = -2; j <= 2; j++) set(r + i, c + j, Math.max(Math.abs(i), Math.abs(j)) !== 1);
    }
  for (let i = 8; i < size - 8; i++) {
    grid[6][i] ??= i % 2 === 0;
    grid[i][6] ??= i % 2 === 0;
  }
  drawFormat(grid, size, mask);
  if (version >= 7) drawVersion(grid, size, version);
  let next = 0;
  let up = true;
  for (let right = size - 1; right > 0; right -= 2, up = !up) {
    if (right === 6) right = 5;
    for (let i = 0; i < size; i++)
      for (const c of [right, right - 1]) {
        const r = up ? size - 1 - i : i;
        if (grid[r][c] === null) grid[r][c] = Boolean((bits[next++] ?? 0) ^ MASKS[mask](r, c));
      }
  }
  return grid;
}

/** Remainder by a generator polynomial, for the format and version fields. */
function bch(value, generator, degree) {
  let rest = value << degree;
  for (let i = 31 - Math.clz32(rest); i >= degree; i = 31 - Math.clz32(rest || 1)) rest ^= generator << (i - degree);
  return (value << degree) | rest;
}

function drawFormat(grid, size, mask) {
  const bits = bch(mask, 0x537, 10) ^ 0x5412; // Level M is 00.
  const bit = (i) => Boolean((bits >> i) & 1);
  for (let i = 0; i < 15; i++) {
    grid[i < 6 ? i : i < 8 ? i + 1 : size - 15 + i][8] = bit(i);
    grid[8][i < 8 ? size - 1 - i : i === 8 ? 7 : 14 - i] = bit(i);
  }
  grid[size - 8][8] = true;
}

function drawVersion(grid, size, version) {
  const bits = bch(version, 0x1f25, 12);
  for (let i = 0; i < 18; i++) {
    const dark = Boolean((bits >> i) & 1);
    const a = Math.floor(i / 3),
      b = size - 11 + (i % 3);
    grid[a][b] = grid[b][a] = dark;
  }
}

/** How hard a grid is to read: the standard's four penalties. */
function score(grid) {
  const size = grid.length;
  let penalty = 0,
    dark = 0;
  const lines = [...grid, ...grid.map((_, c) => grid.map((row) => row[c]))];
  for (const line of lines) {
    for (let i = 0, run = 0; i < size; i++) {
      run = i && line[i] === line[i - 1] ? run + 1 : 1;
      if (run === 5) penalty += 3;
      else if (run > 5) penalty++;
    }
    const text = line.map(Number).join("");
    for (const pattern of ["10111010000", "00001011101"])
      for (let i = text.indexOf(pattern); i >= 0; i = text.indexOf(pattern, i + 1)) penalty += 40;
  }
  for (let r = 0; r < size; r++)
    for (let c = 0; c < size; c++) {
      dark += grid[r][c];
      if (r && c && grid[r][c] === grid[r - 1][c] && grid[r][c] === grid[r][c - 1] && grid[r][c] === grid[r - 1][c - 1])
        penalty += 3;
    }
  return penalty + Math.floor(Math.abs((dark * 20) / (size * size) - 10)) * 10;
}

/** The code as a picture, dark on white in both themes: readers need that. */
export function qrSvg(text, label) {
  const grid = qrModules(text);
  const side = grid.length + 2 * QUIET;
  const path = grid
    .flatMap((row, r) => row.map((dark, c) => (dark ? `M${c + QUIET} ${r + QUIET}h1v1h-1z` : "")))
    .join("");
  return svg(
    "svg",
    {
      class: "qr",
      viewBox: `0 0 ${side} ${side}`,
      role: "img",
      "aria-label": label,
      "shape-rendering": "crispEdges",
      "data-testid": "qr",
    },
    svg("rect", { width: side, height: side, fill: "#fff" }),
    svg("path", { d: path, fill: "#000" }),
  );
}
