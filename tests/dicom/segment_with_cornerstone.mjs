// Reads a SEG as a web viewer does, through @cornerstonejs/adapters, and prints its label map as JSON.
//   node segment_with_cornerstone.mjs SEG.dcm SLICES.json
// SLICES.json: [{uid, series, frame, origin, row, column, spacing, rows, columns}] of the source images, in order.
import fs from "node:fs";
import { adaptersSEG } from "@cornerstonejs/adapters";

console.info = console.log; // the library's log goes there too
const print = console.log;
console.log = () => {};

const bytes = fs.readFileSync(process.argv[2]);
const slices = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));
const byId = Object.fromEntries(slices.map((slice) => [slice.uid, slice]));
const provider = {
  get(type, imageId) {
    const slice = byId[imageId];
    if (type === "generalSeriesModule") return { seriesInstanceUID: slice.series };
    if (type === "generalImageModule" || type === "sopCommonModule") return { sopInstanceUID: slice.uid };
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
  },
};
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const ids = slices.map((slice) => slice.uid);
const state = await adaptersSEG.Cornerstone.Segmentation.generateToolState(ids, buffer, provider, false, 1e-3, 4);
print(
  JSON.stringify({
    labelmap: Array.from(new Uint8Array(state.labelmapBufferArray[0])),
    maps: state.labelmapBufferArray.length,
    segments: state.segMetadata.data.filter((item) => item).map((item) => [item.SegmentNumber, item.SegmentLabel]),
  }),
);
