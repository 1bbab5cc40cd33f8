// From the outputs of a network to an answer, by `description.output.decision` of a bundle.json, as
// docs/bundle-format.md specifies it, with the text and the table of predict.py.

import { BundleError, check } from "./steps.mjs";

const LINKS = { identity: (value) => value, exp: Math.exp, sigmoid };
const FIELDS = {
  softmax: ["classes", "temperature", "abstain_below"],
  sigmoid: ["classes", "thresholds"],
  affine: ["names", "units", "scale", "offset", "link", "clip"],
  embedding: ["gallery"],
  raw: [],
};

function sigmoid(value) {
  const power = Math.exp(-Math.abs(value)); // of a negative number, which cannot overflow
  return (value >= 0 ? 1 : power) / (1 + power);
}

/** The values of the answer for one image, in float64. Where `outputs` is null, the decision is only checked. */
export function decide(outputs, decision) {
  const { kind } = decision;
  if (kind === "pixel_argmax") throw new BundleError("pixel_argmax: this client writes no masks; fix: use predict.py");
  if (!Object.hasOwn(FIELDS, kind)) throw new BundleError(`the decision ${kind} is not implemented`);
  check(decision, FIELDS[kind]);
  if (kind === "affine" && !Object.hasOwn(LINKS, decision.link)) throw new BundleError(`no link ${decision.link}`);
  if (outputs === null) return null;
  const names = decision.classes ?? decision.names;
  if (names && names.length !== outputs.length) {
    throw new BundleError(`the model gives ${outputs.length} outputs for ${names.length} names`);
  }
  const exact = Float64Array.from(outputs);
  if (kind === "softmax") return softmax(exact.map((value) => value / decision.temperature));
  if (kind === "sigmoid") return exact.map(sigmoid);
  if (kind === "affine") return affine(exact, decision);
  const length = Math.sqrt(exact.reduce((total, value) => total + value * value, 0));
  return kind === "embedding" && length > 0 ? exact.map((value) => value / length) : exact;
}

function softmax(logits) {
  const largest = logits.reduce((one, other) => Math.max(one, other));
  const powers = logits.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

function affine(outputs, { scale, offset, link, clip }) {
  const values = outputs.map((value, i) => LINKS[link](value) * scale[i] + offset[i]);
  return clip === null ? values : values.map((value) => Math.min(clip[1], Math.max(clip[0], value)));
}

/** The indices of the classes in the answer: one or none for softmax, any number for sigmoid. */
function chosen(values, { kind, thresholds, abstain_below: least }) {
  if (kind === "sigmoid") return [...values.keys()].filter((i) => values[i] >= thresholds[i]);
  const best = values.indexOf(values.reduce((one, other) => Math.max(one, other)));
  return least !== null && values[best] < least ? [] : [best];
}

/** The answer for one image in a line, with at most `count` classes or values. */
export function answerText(values, decision, count) {
  const { kind, classes } = decision;
  if (kind === "affine") {
    const unit = (i) => decision.units[i] ?? "";
    return decision.names.map((name, i) => `${name} ${general(values[i], 6)} ${unit(i)}`.trimEnd()).join(", ");
  }
  if (!classes) {
    const first = [...values.subarray(0, count)].map((value) => general(value, 6)).join(", ");
    return values.length <= count ? first : `${first}, … (${values.length} values)`;
  }
  const best = (indices) =>
    indices.sort((a, b) => values[b] - values[a]).slice(0, count).map((i) => `${classes[i]} ${percent(values[i])}`);
  const found = chosen(values, decision);
  if (!found.length) return `${kind === "softmax" ? "no answer" : "no label"} (${best([...values.keys()]).join(", ")})`;
  const text = best(kind === "softmax" ? [...values.keys()] : found).join(", ");
  return kind === "softmax" || found.length <= count ? text : `${text} and ${found.length - count} more`;
}

/** The header of the table, after the column "file"; `count` is the number of values of an embedding or raw output. */
export function columns({ classes, names, units }, count) {
  if (classes) return ["prediction", ...classes.map((name) => `p(${name})`)];
  if (names) return names.map((name, i) => (units[i] ? `${name} (${units[i]})` : name));
  return Array.from({ length: count }, (_, i) => `v${i}`);
}

export function cells(values, decision) {
  const texts = [...values].map((value) => general(value, 9));
  if (!decision.classes) return texts;
  const labels = chosen(values, decision).map((i) => decision.classes[i]).join(";");
  return [labels || (decision.kind === "sigmoid" ? "" : "no answer"), ...texts];
}

/** A line of a CSV file; a text that a spreadsheet would take for a formula stands behind an apostrophe. */
export function csvLine(texts) {
  const number = /^\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)\s*$/i;
  const safe = (text) => (/^'*[=+\-@\t\r\n]/.test(text) && !number.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return `${texts.map((text) => quoted(safe(text))).join(",")}\r\n`;
}

/** One line that is safe on a terminal. */
export function printable(text) {
  return text.replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (char) => {
    const code = char.codePointAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
  });
}

/** As Python's f"{value:.1%}". */
function percent(value) {
  const shown = value * 100;
  return `${isTie(shown.toFixed(60), 1) ? toEven(shown) : shown.toFixed(1)}%`;
}

const toEven = (value) => ((2 * Math.round(value * 5)) / 10).toFixed(1);

/** Whether the exact decimal value lies halfway between two texts with `digits` decimals: JavaScript rounds such up. */
const isTie = (exact, digits) => /^50*$/.test(exact.slice(exact.indexOf(".") + 1 + digits));

/** As Python's f"{value:.{digits}g}". */
export function general(value, digits) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value < 0 ? "-inf" : "inf";
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  let [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const exact = value.toExponential(99).split("e")[0];
  const kept = exact.slice(0, exact.indexOf(".") + digits);
  if (isTie(exact, digits - 1) && Number(kept.at(-1)) % 2 === 0) {
    [mantissa, exponent] = [kept, value.toExponential(99).split("e")[1]];
  }
  const power = Number(exponent);
  const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power < -4 || power >= digits) {
    return `${short(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return short(Number(`${mantissa}e${power}`).toFixed(Math.max(0, digits - 1 - power)));
}
