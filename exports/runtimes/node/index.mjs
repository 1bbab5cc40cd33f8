#!/usr/bin/env node
// Predict decoded images (PGM, PPM, PAM) with a bundle that zoo exported:
//
//     node index.mjs BUNDLE image.ppm … [--top 3] [--csv FILE]
//
// bundle.json is read first. What it names and this client does not implement is refused. docs/bundle-format.md is the
// specification. Exit codes: 2 command line, 3 an image, 4 the bundle, 6 onnxruntime-node, 7 the table.

import { createHash } from "node:crypto";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { answerText, cells, columns, csvLine, decide, printable } from "./decisions.mjs";
import { BundleError, ImageError, parseImage, prepare } from "./steps.mjs";

const BATCH = 32;

/** The content of bundle.json and the bytes of the model's files, after the seal and all digests were checked. */
export function readBundle(folder) {
  const content = read(folder, "bundle.json");
  const old = /^\{\s*"format": ([12]),/.exec(content.subarray(0, 40).toString("latin1")); // they have no seal
  if (old) throw new BundleError(`bundles of format ${old[1]} are not implemented; fix: export the model again`);
  const start = '"sha256": "';
  const end = content.lastIndexOf(start) + start.length;
  const seal = `${sha256(content.subarray(0, end))}"\n}\n`;
  if (end < start.length || content.subarray(end).toString("latin1") !== seal) {
    throw new BundleError("bundle.json was altered: its sha256 is not the one at its end");
  }
  const index = JSON.parse(content.toString("utf8"));
  if (index.format !== 3 || index.description.format !== 3) {
    throw new BundleError(`format ${index.format} is not 3; fix: export the model again`);
  }
  if (!index.model_files.includes(index.model)) throw new BundleError("bundle.json does not name its model");
  const files = index.model_files.map((name) => {
    if (basename(name) !== name) throw new BundleError(`${name} is no file of the bundle`);
    const data = read(folder, name);
    if (index.files[name]?.sha256 !== sha256(data)) throw new BundleError(`${name} was altered after it was exported`);
    return { path: name, data };
  });
  return { index, files };
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function read(folder, name) {
  try {
    return readFileSync(join(folder, name));
  } catch (error) {
    throw new BundleError(`${join(folder, name)} cannot be read: ${error.code}`);
  }
}

/** A function from inputs (a list of `prepare`'s results) to the main output {data, dims}, run with onnxruntime. */
async function openModel({ index, files }) {
  if (!index.model.endsWith(".onnx")) throw new BundleError(`${index.model} is no ONNX file`);
  const { default: ort } = await import("onnxruntime-node");
  const model = files.find((file) => file.path === index.model);
  const externalData = files.filter((file) => file.path.endsWith(".data"));
  // The bytes that were checked are the bytes that are loaded.
  const session = await ort.InferenceSession.create(model.data, { externalData, logSeverityLevel: 3 });
  return async (inputs) => {
    const size = inputs[0].data.length;
    const count = index.description.input.batch ?? inputs.length; // a file with a fixed batch takes no fewer
    const values = new Float32Array(count * size);
    inputs.forEach((input, i) => values.set(input.data, i * size));
    const tensor = new ort.Tensor("float32", values, [count, ...inputs[0].shape]);
    const found = (await session.run({ [session.inputNames[0]]: tensor }))[session.outputNames[0]];
    if (found.dims[0] !== count) throw new BundleError(`the model gives ${found.dims} for a batch of ${count}`);
    const width = found.data.length / count;
    return inputs.map((_, i) => found.data.slice(i * width, (i + 1) * width));
  };
}

/** Yields [file, values by `decide`, ""] for each image, or [file, null, the reason] for one that is refused. */
export async function* predict(bundle, images) {
  const { input, output } = bundle.index.description;
  const size = input.batch ?? BATCH;
  decide(null, output.decision); // refuses a decision that is not implemented before anything is loaded
  const run = await openModel(bundle);
  for (let start = 0; start < images.length; start += size) {
    const group = images.slice(start, start + size).map((file) => {
      try {
        return { file, input: prepare(parseImage(readFileSync(file)), input.steps) };
      } catch (error) {
        if (!(error instanceof ImageError || error.code)) throw error;
        return { file, reason: error.message };
      }
    });
    const read = group.filter((entry) => entry.input);
    const outputs = read.length ? await run(read.map((entry) => entry.input)) : [];
    read.forEach((entry, i) => (entry.values = decide(outputs[i], output.decision)));
    for (const { file, values, reason } of group) yield [file, values ?? null, reason ?? ""];
  }
}

async function main() {
  const options = { top: { type: "string", default: "3" }, csv: { type: "string" } };
  const { values: asked, positionals } = parseArgs({ options, allowPositionals: true });
  const [folder, ...images] = positionals;
  if (!images.length) {
    console.error("usage: node index.mjs BUNDLE image.ppm … [--top 3] [--csv FILE]");
    return 2;
  }
  const bundle = readBundle(folder);
  const { decision } = bundle.index.description.output;
  const [rows, failures] = [[], []];
  for await (const [file, values, reason] of predict(bundle, images)) {
    if (values) rows.push([file, values]);
    else failures.push(`error: ${file}: ${reason}`);
  }
  if (asked.csv) {
    const lines = rows.map(([file, values]) => csvLine([file, ...cells(values, decision)]));
    const header = csvLine(["file", ...columns(decision, rows[0]?.[1].length ?? 0)]);
    try {
      writeFileSync(asked.csv, header + lines.join(""));
    } catch (error) {
      throw Object.assign(error, { exitCode: 7 });
    }
  }
  for (const [file, values] of rows) {
    console.log(printable(`${file}: ${answerText(values, decision, Number(asked.top))}`));
  }
  for (const line of failures) console.error(printable(line));
  return failures.length ? 3 : 0;
}

function exitCode(error) {
  if (error.exitCode) return error.exitCode;
  if (error.code === "ERR_MODULE_NOT_FOUND") return 6;
  return error.code?.startsWith("ERR_PARSE_ARGS") ? 2 : 4;
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  main().then(
    (code) => (process.exitCode = code),
    (error) => {
      const fix = error.code === "ERR_MODULE_NOT_FOUND" ? "; fix: npm install --ignore-scripts" : "";
      console.error(printable(`error: ${error.message.split("\n")[0]}${fix}`));
      process.exitCode = exitCode(error);
    },
  );
}
