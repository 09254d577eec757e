// Reads a SEG as a web viewer of images in 3D does, through @cornerstonejs/adapters, and prints its label map as JSON.
import { buffer, ids, print, provide } from "./cornerstone_slices.mjs";
import { metaData } from "@cornerstonejs/core";
import { adaptersSEG } from "@cornerstonejs/adapters";

metaData.addProvider(provide, 1);
const state = await adaptersSEG.Cornerstone3D.Segmentation.generateToolState(ids, buffer, metaData, false, 1e-3, 4);
const images = state.labelMapImages.map((map) => (map.map ? map : [map]));
print(
  JSON.stringify({
    maps: images.length,
    labelmap: images[0].flatMap((image) => Array.from(image.voxelManager ? image.voxelManager.getScalarData() : image.getPixelData())),
    segments: state.segMetadata.data.filter((item) => item).map((item) => [Number(item.SegmentNumber), item.SegmentLabel]),
  }),
);
