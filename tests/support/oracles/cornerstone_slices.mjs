// What a web viewer knows of the source images, as @cornerstonejs/adapters asks for it; and the files of the command line.
//   node SCRIPT.mjs SEG.dcm SLICES.json
// SLICES.json: [{uid, series, frame, origin, row, column, spacing, rows, columns}] of the source images, in order.
import fs from "node:fs";

console.info = console.log; // the library's log goes there too
export const print = console.log;
console.log = () => {};

const bytes = fs.readFileSync(process.argv[2]);
export const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const slices = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));
const byId = Object.fromEntries(slices.map((slice) => [slice.uid, slice]));
export const ids = slices.map((slice) => slice.uid);

export const provide = (type, imageId) => {
  const slice = byId[imageId];
  if (!slice) return undefined;
  if (type === "generalSeriesModule") return { seriesInstanceUID: slice.series, modality: "MR" };
  if (type === "generalImageModule" || type === "sopCommonModule") return { sopInstanceUID: slice.uid };
  if (type === "imagePixelModule")
    return { bitsAllocated: 16, bitsStored: 16, highBit: 15, samplesPerPixel: 1, pixelRepresentation: 0, photometricInterpretation: "MONOCHROME2" };
  const plane = {
    frameOfReferenceUID: slice.frame,
    imagePositionPatient: slice.origin,
    imageOrientationPatient: [...slice.row, ...slice.column],
    rowCosines: slice.row,
    columnCosines: slice.column,
    rowPixelSpacing: slice.spacing[0],
    columnPixelSpacing: slice.spacing[1],
    rows: slice.rows,
    columns: slice.columns,
  };
  if (type === "imagePlaneModule") return plane;
  if (type !== "instance") return undefined;
  return {
    SOPInstanceUID: slice.uid,
    SeriesInstanceUID: slice.series,
    FrameOfReferenceUID: slice.frame,
    ImagePositionPatient: slice.origin,
    ImageOrientationPatient: plane.imageOrientationPatient,
    PixelSpacing: slice.spacing,
    Rows: slice.rows,
    Columns: slice.columns,
  };
};
