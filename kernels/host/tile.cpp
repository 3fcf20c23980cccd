// # The tile
//
// tile.h says what it computes and why it has these sizes.

#include "tile.h"

namespace convnotes::CN_ISA {

namespace {

template <int MR, int NB, int MS>
void tile(const float* a, ptrdiff_t a0, const float* b, const Run* run, int runs,
          const Steps& steps, float* c, bool add) {
  const Steps s = steps;
  // Terms of the first run that are done: one that is too long for a chunk is cut as well.
  int done = 0;
  do {
    V sums[MR][NB];
    for (int i = 0; i < MR; i++)
      for (int v = 0; v < NB; v++) sums[i][v] = zero();
    for (int terms = 0; runs > 0;) {
      int length = run->length - done;
      if (terms + length > CHUNK) {
        if (terms > 0) break;
        length = CHUNK;
      }
      const float* pa = a + (a0 + run->a) + done * s.aK;
      const float* pb = b + run->b + done * s.bK;
#pragma GCC unroll 2
      for (int k = length; k > 0; k--) {
        V vectors[NB];
        for (int v = 0; v < NB; v++) vectors[v] = load(pb + v * s.bV);
        for (int i = 0; i < MR; i++) {
          const V factor = all(pa[i * MS]);
          for (int v = 0; v < NB; v++) sums[i][v] = fma(factor, vectors[v], sums[i][v]);
        }
        pa += s.aK;
        pb += s.bK;
      }
      terms += length;
      done += length;
      if (done == run->length) {
        done = 0;
        runs--;
        run++;
      }
    }
    for (int i = 0; i < MR; i++)
      for (int v = 0; v < NB; v++) {
        float* to = c + i * s.cM + v * s.cV;
        store(to, add ? load(to) + sums[i][v] : sums[i][v]);
      }
    add = true;
  } while (runs > 0);
}

}  // namespace

#if defined(CN_AVX512)
#define CN_ROW(MR, MS) {tile<MR, 1, MS>, tile<MR, 2, MS>}
#define CN_TABLE(MS)                                                                       \
  {CN_ROW(1, MS), CN_ROW(2, MS),  CN_ROW(3, MS),  CN_ROW(4, MS),  CN_ROW(5, MS),            \
   CN_ROW(6, MS), CN_ROW(7, MS),  CN_ROW(8, MS),  CN_ROW(9, MS),  CN_ROW(10, MS),           \
   CN_ROW(11, MS), CN_ROW(12, MS), CN_ROW(13, MS), CN_ROW(14, MS)}
#else
#define CN_ROW(MR, MS) {tile<MR, 1, MS>}
#define CN_TABLE(MS) \
  {CN_ROW(1, MS), CN_ROW(2, MS), CN_ROW(3, MS), CN_ROW(4, MS), CN_ROW(5, MS), CN_ROW(6, MS)}
#endif

const Tile pixelTiles[MAX_MR][MAX_NB] = CN_TABLE(L);
const Tile channelTiles[MAX_MR][MAX_NB] = CN_TABLE(1);

}  // namespace convnotes::CN_ISA
