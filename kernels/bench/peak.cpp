// # The most that a processor computes
//
// Multiply-adds on registers alone, as many independent sums as a tile has (host/tile.h): what any
// kernel can reach at best. `peak THREADS` prints GFLOP/s of that many threads together, in the best of
// many stretches of milliseconds: other programs make the rest slower.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../host/tile.h"

using namespace convnotes::CN_ISA;

constexpr int SUMS = MAX_MR * MAX_NB, ROUNDS = 4000, REPEATS = 10, ATTEMPTS = 400;

/** Where sums begin and results go: nobody knows that they are all equal, or unwanted. */
static volatile float starts[SUMS], sink;

static void work() {
  V sums[SUMS];
#pragma GCC unroll 28
  for (int k = 0; k < SUMS; k++) sums[k] = all(starts[k]);
  const V a = all(0.5f), b = all(starts[0]);
  for (int i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 28
    for (int k = 0; k < SUMS; k++) sums[k] = fma(a, sums[k], b);
  }
  float lanes[L];
#pragma GCC unroll 28
  for (int k = 0; k < SUMS; k++) {
    store(lanes, sums[k]);
    sink = lanes[0];
  }
}

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::atoi(arguments[1]) : 1;
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    const auto begin = Clock::now();
    std::vector<std::thread> team;
    for (int t = 0; t < threads; t++)
      team.emplace_back([] {
        for (int i = 0; i < REPEATS; i++) work();
      });
    for (std::thread& t : team) t.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const double operations = 2.0 * L * SUMS * ROUNDS * REPEATS * threads;
    best = operations / seconds / 1e9 > best ? operations / seconds / 1e9 : best;
  }
  std::printf("%.1f\n", best);
}
