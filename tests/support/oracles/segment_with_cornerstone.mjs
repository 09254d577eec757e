// Reads a SEG as a web viewer does, through @cornerstonejs/adapters, and prints its label map as JSON.
import { buffer, ids, print, provide } from "./cornerstone_slices.mjs";
import { adaptersSEG } from "@cornerstonejs/adapters";

const state = await adaptersSEG.Cornerstone.Segmentation.generateToolState(ids, buffer, { get: provide }, false, 1e-3, 4);
print(
  JSON.stringify({
    labelmap: Array.from(new Uint8Array(state.labelmapBufferArray[0])),
    maps: state.labelmapBufferArray.length,
    segments: state.segMetadata.data.filter((item) => item).map((item) => [item.SegmentNumber, item.SegmentLabel]),
  }),
);
