// From a decoded image to the input of a network, by `description.input.steps` of a bundle.json, as specified in
// docs/bundle-format.md. The arithmetic is Pillow's, so that the input is the one of predict.py to the last bit.

import { isDeepStrictEqual } from "node:util";

const PRECISION = 22; // bits of Pillow's fixed-point coefficients

export class BundleError extends Error {}
export class ImageError extends Error {}

/** Refuses other fields than `free` and `fixed`, and other values of the fixed ones. */
export function check(entry, free, fixed = {}) {
  const name = entry.step ?? entry.kind;
  const known = new Set(["step", "kind", ...free, ...Object.keys(fixed)]);
  for (const field of Object.keys(entry)) {
    if (!known.has(field)) throw new BundleError(`${name} has the unknown field ${field}`);
  }
  for (const field of [...free, ...Object.keys(fixed)]) {
    if (!(field in entry)) throw new BundleError(`${name} has no ${field}`);
    if (field in fixed && !isDeepStrictEqual(entry[field], fixed[field])) {
      throw new BundleError(`${name} has ${field} ${JSON.stringify(entry[field])}, which is not implemented`);
    }
  }
}

// -------------------------------------------------------------------------------------------------------------- images

/** A binary PGM (P5), PPM (P6) or PAM (P7) of 8 bits as {width, height, channels, data}; a PAM may have alpha. */
export function parseImage(bytes) {
  const text = bytes.subarray(0, 4096).toString("latin1");
  const pam = /^P7\n((?:[A-Z#][^\n]*\n)*?)ENDHDR\n/.exec(text);
  const pnm = /^P([56])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s/.exec(text);
  if (!pam && !pnm) throw new ImageError("is no binary PGM, PPM or PAM file");
  const field = (name) => Number(new RegExp(`^${name} +(\\d+)`, "m").exec(pam[1])?.[1] ?? NaN);
  const [width, height, most, channels] = pam
    ? ["WIDTH", "HEIGHT", "MAXVAL", "DEPTH"].map(field)
    : [...pnm.slice(2, 5).map(Number), pnm[1] === "5" ? 1 : 3];
  const data = bytes.subarray((pam ?? pnm)[0].length);
  if (most !== 255) throw new ImageError(`has values up to ${most}, not 255: only 8 bits are implemented`);
  if (!(channels >= 1 && channels <= 4 && width >= 1 && height >= 1)) throw new ImageError("has a damaged header");
  if (data.length < width * height * channels) throw new ImageError("ends before its pixels do");
  return { width, height, channels, data: data.subarray(0, width * height * channels) };
}

const blank = (width, height, channels) => ({
  width, height, channels, data: new Uint8Array(width * height * channels),
});

function roundHalfToEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

function refuseLarge(width, height, most) {
  if (width * height > most) {
    throw new ImageError(`is, or would be scaled to, ${width}×${height}, more than max_pixels=${most}`);
  }
}

/** Pillow's filters, by the distance from the centre in pixels of the output. */
const FILTERS = {
  bilinear: { support: 1, weight: (x) => (x < 1 ? 1 - x : 0) },
  bicubic: {
    support: 2,
    weight: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0),
  },
};

/** For each pixel of the output: the first pixel of the input, and whole-number weights (Pillow's Resample.c). */
function coefficients(from, to, { support, weight }) {
  const scale = from / to;
  const stretch = Math.max(scale, 1); // antialias: the filter grows with the factor of the reduction
  return Array.from({ length: to }, (_, pixel) => {
    const centre = (pixel + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const end = Math.min(from, Math.trunc(centre + support * stretch + 0.5));
    const exact = [];
    for (let at = first; at < end; at++) exact.push(weight(Math.abs((at - centre + 0.5) * (1 / stretch))));
    const sum = exact.reduce((total, each) => total + each, 0);
    const whole = (each) => Math.trunc((each < 0 ? -0.5 : 0.5) + each * 2 ** PRECISION);
    return { first, weights: Int32Array.from(exact, (each) => whole(sum === 0 ? each : each / sum)) };
  });
}

/** Scale along the width (axis 0) or the height (axis 1); results are rounded to 8 bits. */
export function scaleAxis(image, axis, size, filter) {
  const { width, height, channels } = image;
  if (size === (axis ? height : width)) return image;
  const out = axis ? blank(width, size, channels) : blank(size, height, channels);
  const step = axis ? width * channels : channels; // from one pixel to the next along the axis
  coefficients(axis ? height : width, size, filter).forEach(({ first, weights }, pixel) => {
    for (let line = 0; line < (axis ? width : height); line++) {
      for (let channel = 0; channel < channels; channel++) {
        const start = (axis ? line * channels : line * width * channels) + channel;
        let sum = 1 << (PRECISION - 1);
        for (let k = 0; k < weights.length; k++) sum += image.data[start + (first + k) * step] * weights[k];
        const target = axis ? (pixel * width + line) * channels : (line * size + pixel) * channels;
        out.data[target + channel] = Math.min(255, Math.max(0, sum >> PRECISION));
      }
    }
  });
  return out;
}

// --------------------------------------------------------------------------------------------------------------- steps

const RESIZE = { antialias: true, passes: ["width", "height"], rounding: "8 bits after each pass" };
const SIZES = {
  exact: { free: ["width", "height"], fixed: {}, size: (image, step) => [step.width, step.height] },
  shorter_side: {
    free: ["shorter_side"],
    fixed: { longer_side: "floor(shorter_side * longer / shorter)" },
    size: ({ width, height }, { shorter_side: short }) =>
      [width, height].map((side) => Math.floor((short * side) / Math.min(width, height))),
  },
  cover: {
    free: ["width", "height"],
    fixed: { scale: "max(width / W, height / H)", sides: "max(size, round_half_to_even(side * scale))" },
    size: (image, step) => {
      const scale = Math.max(step.width / image.width, step.height / image.height);
      return ["width", "height"].map((side) => Math.max(step[side], roundHalfToEven(image[side] * scale)));
    },
  },
};
const OFFSETS = {
  "floor((side - size) / 2)": (side, size) => Math.floor((side - size) / 2),
  "round_half_to_even((side - size) / 2)": (side, size) => roundHalfToEven((side - size) / 2),
};

const STEPS = {
  decode(image, step) {
    check(step, ["max_pixels"], { frame: 0, orientation: "exif" });
    refuseLarge(image.width, image.height, step.max_pixels);
    return image;
  },
  deep_grey_to_8_bits(image, step) {
    check(step, ["range", "formula", "dtype", "rounding", "white_is_zero", "transparency", "refuse"]);
    return image; // it has 8 bits
  },
  flatten_alpha(image, step) {
    check(step, [], { background: [255, 255, 255] });
    const { width, height, channels, data } = image;
    if (channels % 2) return image;
    const flat = blank(width, height, channels - 1);
    for (let i = 0; i < flat.data.length; i++) {
      const start = Math.floor(i / flat.channels) * channels;
      const alpha = data[start + channels - 1];
      flat.data[i] = (data[start + (i % flat.channels)] * alpha + 255 * (255 - alpha) + 127) / 255;
    }
    return flat;
  },
  convert(image, step) {
    check(step, ["mode"]);
    const wanted = { L: 1, RGB: 3 }[step.mode];
    if (!wanted) throw new BundleError(`mode ${step.mode} is not implemented`);
    if (image.channels === wanted) return image;
    const out = blank(image.width, image.height, wanted);
    for (let i = 0; i < image.width * image.height; i++) {
      if (wanted === 3) out.data.fill(image.data[i], 3 * i, 3 * i + 3);
      else {
        const [red, green, blue] = image.data.subarray(3 * i, 3 * i + 3);
        out.data[i] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
      }
    }
    return out;
  },
  resize(image, step) {
    const policy = SIZES[step.policy];
    if (!policy || !FILTERS[step.filter]) throw new BundleError(`${step.policy}, ${step.filter} is not implemented`);
    check(step, ["policy", "filter", "max_pixels", ...policy.free], { ...RESIZE, ...policy.fixed });
    const [width, height] = policy.size(image, step);
    refuseLarge(width, image.height, step.max_pixels);
    refuseLarge(width, height, step.max_pixels);
    const filter = FILTERS[step.filter];
    return scaleAxis(scaleAxis(image, 0, width, filter), 1, height, filter);
  },
  crop(image, step) {
    check(step, ["height", "width", "offset", "padding"]);
    const known = [null, { before: "floor((size - side) / 2)", value: 0 }];
    if (!OFFSETS[step.offset] || !known.some((each) => isDeepStrictEqual(each, step.padding))) {
      throw new BundleError("crop has an offset or a padding that is not implemented");
    }
    const offset = (side, size) => (side >= size ? OFFSETS[step.offset](side, size) : -Math.floor((size - side) / 2));
    const [left, top] = [offset(image.width, step.width), offset(image.height, step.height)];
    const out = blank(step.width, step.height, image.channels);
    const from = Math.max(0, left), to = Math.min(image.width, left + step.width);
    for (let y = Math.max(0, top); y < Math.min(image.height, top + step.height); y++) {
      const row = image.data.subarray((y * image.width + from) * out.channels, (y * image.width + to) * out.channels);
      out.data.set(row, ((y - top) * out.width + from - left) * out.channels);
    }
    return out;
  },
  permute_pixels(image, step) {
    check(step, ["indices"]);
    const out = blank(image.width, image.height, image.channels);
    step.indices.forEach((from, to) => {
      out.data.set(image.data.subarray(from * out.channels, (from + 1) * out.channels), to * out.channels);
    });
    return out;
  },
  divide(image, step) {
    check(step, ["by"], { dtype: "float32" });
    return { ...image, data: Float32Array.from(image.data, (value) => value / step.by) };
  },
  normalise(image, step) {
    check(step, ["mean", "std"]);
    const [mean, std] = [Float32Array.from(step.mean), Float32Array.from(step.std)];
    const of = (value, i) => Math.fround(value - mean[i % image.channels]) / std[i % image.channels];
    return { ...image, data: image.data.map(of) };
  },
  layout({ width, height, channels, data }, step) {
    check(step, [], { order: "NCHW", dtype: "float32" });
    const pixels = width * height;
    const planes = Float32Array.from(data, (_, i) => data[(i % pixels) * channels + Math.floor(i / pixels)]);
    return { data: planes, shape: [channels, height, width] };
  },
};

/** The input of the network for a decoded image: float32 values, and their shape [channels, height, width]. */
export function prepare(image, steps) {
  return steps.reduce((value, step) => {
    if (!Object.hasOwn(STEPS, step.step)) throw new BundleError(`the step ${step.step} is not implemented`);
    return STEPS[step.step](value, step);
  }, image);
}
