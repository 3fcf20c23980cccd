// # The most that a processor computes and copies
//
// Multiply-adds on registers alone, as many independent sums as a tile has (host/tile.h), and copies of
// memory far larger than a cache, each byte counted where it is read and where it is written: what any
// kernel can reach at best. `peak THREADS` prints GFLOP/s and GB/s of that many threads together, in the best of
// many stretches of milliseconds: other programs make the rest slower.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../host/tile.h"

using namespace convnotes::CN_ISA;

constexpr int SUMS = MAX_MR * MAX_NB, ROUNDS = 4000, REPEATS = 10;
constexpr size_t NUMBERS = size_t{1} << 25;

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

/** The shortest time of many attempts in which every thread does its part. Units: s. */
template <class Part>
static double shortest(int threads, int attempts, Part part) {
  using Clock = std::chrono::steady_clock;
  double best = INFINITY;
  for (int attempt = 0; attempt < attempts; attempt++) {
    const auto begin = Clock::now();
    std::vector<std::thread> team;
    for (int t = 0; t < threads; t++) team.emplace_back([=] { part(t); });
    for (std::thread& t : team) t.join();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::atoi(arguments[1]) : 1;
  const double computing = shortest(threads, 400, [](int) {
    for (int i = 0; i < REPEATS; i++) work();
  });
  const double operations = 2.0 * L * SUMS * ROUNDS * REPEATS * threads;

  std::vector<float> from(NUMBERS, 1.0f), to(NUMBERS);
  float* target = to.data();
  const float* source = from.data();
  const size_t part = NUMBERS / static_cast<size_t>(threads);
  const double copying = shortest(threads, 20, [=](int t) {
    const size_t begin = part * static_cast<size_t>(t);
    std::memcpy(target + begin, source + begin, part * sizeof(float));
  });
  sink = to[NUMBERS / 2];
  const double bytes = 2.0 * sizeof(float) * static_cast<double>(part) * threads;
  std::printf("%.1f %.2f\n", operations / computing / 1e9, bytes / copying / 1e9);
}
