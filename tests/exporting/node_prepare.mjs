// Writes the input of a network for decoded images, by the Node client's own steps, without onnxruntime-node:
//
//     node node_prepare.mjs steps.mjs bundle.json image.pam …   → for each image, its float32 values

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [steps, index, ...images] = process.argv.slice(2);
const { parseImage, prepare } = await import(pathToFileURL(steps).href);
const description = JSON.parse(readFileSync(index, "utf8")).description;
for (const image of images) {
  const { data } = prepare(parseImage(readFileSync(image)), description.input.steps);
  process.stdout.write(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
}
