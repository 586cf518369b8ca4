/**
 * Numbers of 16 and 32 bits: how they are rounded, and the fewest digits that read back to them.
 *
 * Source: IEEE 754-2019, 3.4 (binary16) and 4.3.1 (ties to even).
 */

const MOST_DIGITS = 9; // enough for any number of 32 bits: IEEE 754-2019, 5.12.2
const SURE_DIGITS = 6; // so many digits are never two names of one number of 32 bits
const LEAST_NORMAL = 2 ** -126;

const view = new DataView(new ArrayBuffer(4));

/** The bits of a number of 16 bits, of one of 64: to the nearest, ties to even. */
export function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) {
    return 0x7e00;
  }
  if (size >= 65520) {
    return sign | 0x7c00;
  }
  // Above 2^-14 a number has 10 bits of a fraction; below that all have the exponent of 2^-14.
  const exponent = Math.max(-14, exponentOf(size));
  const steps = roundToEven(size * 2 ** (10 - exponent));
  return sign | (steps + (exponent + 14) * 1024);
}

/** The number that 16 bits stand for. */
export function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) {
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return sign * size;
}

/** The nearest number of 16 bits. */
export function roundToHalf(value: number): number {
  return halfValue(halfBits(value));
}

/** The fewest digits that read back to a finite number of 32 bits. */
export function singleText(value: number): string {
  const exact = String(value);
  if (exact.length <= SURE_DIGITS + 1) {
    return exact;
  }
  const from = Math.abs(value) < LEAST_NORMAL ? 1 : SURE_DIGITS;
  for (let digits = from; digits < MOST_DIGITS; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) {
      return String(short);
    }
  }
  return String(Number(value.toPrecision(MOST_DIGITS)));
}

/** The exponent of a finite number of at least 0: the greatest e with 2^e <= value. */
function exponentOf(value: number): number {
  view.setFloat32(0, value);
  return ((view.getUint32(0) >> 23) & 0xff) - 127;
}

/** The nearest whole number, the even one of two. */
function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
