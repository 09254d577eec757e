// Reads a SEG as a web viewer of images in 3D does, through @cornerstonejs/adapters, and prints its label map as JSON.
//   node labelmap_with_cornerstone.mjs SEG.dcm SLICES.json
// SLICES.json: as for segment_with_cornerstone.mjs.
import fs from "node:fs";
import { cache, metaData } from "@cornerstonejs/core";
import { adaptersSEG } from "@cornerstonejs/adapters";

console.info = console.log; // the library's log goes there too
const print = console.log;
console.log = () => {};

const bytes = fs.readFileSync(process.argv[2]);
const slices = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));
const byId = Object.fromEntries(slices.map((slice) => [slice.uid, slice]));
const provide = (type, imageId) => {
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
metaData.addProvider(provide, 1);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const ids = slices.map((slice) => slice.uid);
const state = await adaptersSEG.Cornerstone3D.Segmentation.generateToolState(ids, buffer, metaData, false, 1e-3, 4);
const images = state.labelMapImages.map((map) => (map.map ? map : [map]));
print(
  JSON.stringify({
    maps: images.length,
    labelmap: images[0].flatMap((image) => Array.from(image.voxelManager ? image.voxelManager.getScalarData() : image.getPixelData())),
    segments: state.segMetadata.data.filter((item) => item).map((item) => [Number(item.SegmentNumber), item.SegmentLabel]),
  }),
);
