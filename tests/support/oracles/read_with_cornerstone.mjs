// Reads an SR as a web viewer does, through @cornerstonejs/adapters, and prints what it would draw, as JSON.
//   node read_with_cornerstone.mjs SR.dcm PLANES.json
// PLANES.json: {"SOPInstanceUID:frame": {origin, row, column, spacing: [row, column]}} of the referenced images.
import fs from "node:fs";
import * as namespace from "dcmjs";
import { metaData } from "@cornerstonejs/core";
import { adaptersSR } from "@cornerstonejs/adapters";

const dcmjs = namespace.default ?? namespace;
console.info = console.log; // the library's log goes there too
const print = console.log;
console.log = () => {};

const bytes = fs.readFileSync(process.argv[2]);
const planes = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));
metaData.addProvider((type, imageId) => {
  const plane = planes[imageId];
  if (type !== "imagePlaneModule" || !plane) return undefined;
  return {
    frameOfReferenceUID: plane.frame,
    imagePositionPatient: plane.origin,
    rowCosines: plane.row,
    columnCosines: plane.column,
    rowPixelSpacing: plane.spacing[0],
    columnPixelSpacing: plane.spacing[1],
  };
}, 1);
const dicom = dcmjs.data.DicomMessage.readFile(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
const dataset = dcmjs.data.DicomMetaDictionary.naturalizeDataset(dicom.dict);
const images = Object.fromEntries(Object.keys(planes).map((key) => [key, key]));
const state = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(dataset, images, metaData);
const found = Object.entries(state).flatMap(([tool, items]) =>
  items.map((item) => ({
    tool,
    label: item.annotation.data.label ?? null,
    tracking: item.TrackingUniqueIdentifier,
    points: item.annotation.data.contour?.polyline ?? item.annotation.data.handles.points,
    stats: Object.values(item.annotation.data.cachedStats)[0] ?? {},
  })),
);
print(JSON.stringify(found));
