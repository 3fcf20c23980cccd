// # Gathering images
//
// The images at some indices out of the whole data set, resized and scaled: see spec/ops/gather_images.md,
// which the result equals. So a batch begins with 8 bytes an image that cross over.
//
// One block of 256 threads = a tile of 64 columns of one new image and as many rows, up to 32, as shared
// memory has room for. First its threads work out the windows of the tile's columns and rows, one thread =
// one window, in float64 (a tile has 96 of them, and 2,048 pixels share their cost). Then one thread = one
// byte of the rows that the tile needs, resized along the row, in shared memory: neighbouring threads write
// neighbouring bytes, four of them to a bank, which is one transaction. Then one thread = one new pixel, a sum
// down that memory. Images that keep their size are copied, one thread = one pixel.
//
// Sums are whole numbers in 32 bits (host/gather_images.cpp). Shared memory, with T taps for a window: 96 ·
// (8 + 4 T) bytes of windows and 64 for each row needed: 3.1 KB from 28 to 224 pixels, where T is 3 and a tile
// needs up to 6 rows.
// Bytes: 4 for each new pixel, and each stored pixel once or twice, from a cache. From 28 to 224 pixels 12
// multiply-adds and 24 operations on whole numbers for each new pixel: bound by the writing. An index that no
// image has makes its image NaN.

#include "../host/gather_images.h"
#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

using gathering::BITS;
using gathering::HALF;

constexpr int GATHER_THREADS = 256, TILE_COLUMNS = 64, TILE_ROWS = 32;
constexpr int GATHER_SHARED = 48 * 1024;

/** How pixels become numbers. */
struct PixelScale {
  float mean, std;
  bool normal;

  __device__ __forceinline__ float operator()(int byte) const {
    const float x = static_cast<float>(byte) / 255.0f;
    return normal ? (x - mean) / std : x;
  }
};

struct Gathering {
  const uint8_t* images;
  const int64_t* indices;
  float* y;
  int count;
  PixelScale scale;
};

// ## Without resizing

GPU_KERNEL(ELEMENT_THREADS) gatherStored(Gathering g, Divider byPixels, int size) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= size) return;
  const int b = byPixels(i), pixels = static_cast<int>(byPixels.divisor);
  const int64_t k = g.indices[b];
  g.y[i] = k >= 0 && k < g.count ? g.scale(g.images[k * pixels + (i - b * pixels)]) : NAN;
}

// ## With resizing

/** One axis: `size` pixels become `newSize`, each of up to `taps`. */
struct Resizing {
  int size, newSize, taps;
  double scale, reach;

  Resizing(int64_t size, int64_t newSize)
      : size(static_cast<int>(size)),
        newSize(static_cast<int>(newSize)),
        scale(static_cast<double>(size) / static_cast<double>(newSize)),
        reach(scale > 1 ? scale : 1) {
    taps = 2 * static_cast<int>(std::ceil(reach)) + 1;
  }

  __device__ __forceinline__ double centre(int i) const {
    return (static_cast<double>(i) + 0.5) * scale;
  }
  __device__ __forceinline__ int first(int i) const {
    const int begin = static_cast<int>(centre(i) - reach + 0.5);
    return begin > 0 ? begin : 0;
  }
  __device__ __forceinline__ int end(int i) const {
    return min(size, static_cast<int>(centre(i) + reach + 0.5));
  }
  __device__ __forceinline__ double weight(int i, int j) const {
    const double distance = (static_cast<double>(j) - centre(i) + 0.5) * (1 / reach);
    return fmax(0.0, 1 - fabs(distance));
  }
  /** The window of new pixel i: where it begins, how long it is, and its weights. */
  __device__ void window(int i, int* to) const {
    const int from = first(i), upTo = end(i);
    double total = 0;
    for (int j = from; j < upTo; j++) total += weight(i, j);
    to[0] = from;
    to[1] = upTo - from;
    for (int j = from; j < upTo; j++)
      to[2 + j - from] = static_cast<int>(floor(weight(i, j) / total * (1 << BITS) + 0.5));
  }
};

struct ImageTiles {
  Resizing rows, columns;
  /** Rows of a tile, and the old rows that it may need. */
  int tileRows, oldRows;
  Divider byTiles, byColumnTiles;

  int windowInts() const {
    return TILE_COLUMNS * (2 + columns.taps) + tileRows * (2 + rows.taps);
  }
  int bytes() const { return windowInts() * 4 + oldRows * TILE_COLUMNS; }
};

GPU_KERNEL(GATHER_THREADS) gatherResized(Gathering g, ImageTiles t) {
  GPU_DYN_SHARED(memory);
  const int thread = static_cast<int>(threadIdx.x);
  const int b = t.byTiles(static_cast<int>(blockIdx.x));
  const int tile = static_cast<int>(blockIdx.x) - b * static_cast<int>(t.byTiles.divisor);
  const int rowTile = t.byColumnTiles(tile);
  const int top = rowTile * t.tileRows;
  const int left = (tile - rowTile * static_cast<int>(t.byColumnTiles.divisor)) * TILE_COLUMNS;
  const int high = min(t.tileRows, t.rows.newSize - top);
  const int wide = min(TILE_COLUMNS, t.columns.newSize - left);
  const int across = 2 + t.columns.taps, down = 2 + t.rows.taps;
  int* columnWindows = reinterpret_cast<int*>(memory);
  int* rowWindows = columnWindows + TILE_COLUMNS * across;
  unsigned char* narrow = reinterpret_cast<unsigned char*>(rowWindows + t.tileRows * down);

  for (int i = thread; i < wide + high; i += GATHER_THREADS) {
    if (i < wide)
      t.columns.window(left + i, columnWindows + i * across);
    else
      t.rows.window(top + i - wide, rowWindows + (i - wide) * down);
  }
  __syncthreads();

  const int64_t k = g.indices[b];
  const bool isThere = k >= 0 && k < g.count;
  const int firstRow = rowWindows[0];
  const int* lastRow = rowWindows + (high - 1) * down;
  const int needed = lastRow[0] + lastRow[1] - firstRow;
  const uint8_t* image = g.images + (isThere ? k : 0) * t.rows.size * t.columns.size;
  for (int i = thread; i < needed * TILE_COLUMNS; i += GATHER_THREADS) {
    const int h = i / TILE_COLUMNS, v = i % TILE_COLUMNS;
    if (v >= wide) continue;
    const int* window = columnWindows + v * across;
    const uint8_t* from = image + (firstRow + h) * t.columns.size + window[0];
    int sum = HALF;
    for (int j = 0; j < window[1]; j++) sum += window[2 + j] * from[j];
    narrow[i] = static_cast<unsigned char>(sum >> BITS);
  }
  __syncthreads();

  float* y = g.y + (int64_t{b} * t.rows.newSize + top) * t.columns.newSize + left;
  for (int i = thread; i < high * TILE_COLUMNS; i += GATHER_THREADS) {
    const int h = i / TILE_COLUMNS, v = i % TILE_COLUMNS;
    if (v >= wide) continue;
    const int* window = rowWindows + h * down;
    const unsigned char* from = narrow + (window[0] - firstRow) * TILE_COLUMNS + v;
    int sum = HALF;
    for (int j = 0; j < window[1]; j++) sum += window[2 + j] * from[j * TILE_COLUMNS];
    y[h * t.columns.newSize + v] = isThere ? g.scale(sum >> BITS) : NAN;
  }
}

}  // namespace

void gather_images(Call& call, Queue& queue) {
  const gathering::Request r(call);
  const Operand& y = call.output(0);
  if (y.size() == 0) return;
  require(r.count > 0, "there are no images");
  const Gathering g{static_cast<const uint8_t*>(call.inputs[0].data),
                    static_cast<const int64_t*>(call.inputs[1].data),
                    y.floats(),
                    static_cast<int>(r.count),
                    {r.mean, r.std, r.normal}};
  if (r.newHeight == r.height && r.newWidth == r.width) {
    enqueue(queue, gatherStored, call.name, blocksFor(y.size(), ELEMENT_THREADS), ELEMENT_THREADS, g,
            Divider(r.height * r.width), static_cast<int>(y.size()));
    return;
  }
  const Resizing rows(r.height, r.newHeight), columns(r.width, r.newWidth);
  ImageTiles t{rows, columns, TILE_ROWS, 0, {}, {}};
  const auto fit = [&] {
    t.oldRows = std::min<int>(rows.size, static_cast<int>(std::ceil(t.tileRows * rows.scale)) +
                                             2 * static_cast<int>(std::ceil(rows.reach)) + 1);
    return t.bytes() <= GATHER_SHARED;
  };
  while (!fit() && t.tileRows > 1) t.tileRows /= 2;
  require(fit(), "shrinking images by " + std::to_string(std::max(rows.scale, columns.scale)) +
                     " is more than a GPU's shared memory has room for");
  const int64_t columnTiles = gpu::ceil_div<int64_t>(r.newWidth, TILE_COLUMNS);
  const int64_t tiles = columnTiles * gpu::ceil_div<int64_t>(r.newHeight, t.tileRows);
  t.byColumnTiles = Divider(columnTiles);
  t.byTiles = Divider(tiles);
  require(r.batch * tiles < int64_t{1} << 31, "there are too many images");
  enqueueShared(queue, gatherResized, call.name, static_cast<unsigned>(r.batch * tiles),
                GATHER_THREADS, t.bytes(), g, t);
}

}  // namespace convnotes::gpu_rooms
