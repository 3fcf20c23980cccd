// # Cross-entropy
//
// ℓ = Σ_c a_c·(log D − (x_c − m)) for each sample, D = Σ e^(x_c − m), m the largest score; and
// dx_c = dℓ·(e^(x_c − m)/D · Σ a − a_c). The coefficients a come from labels or probabilities, smoothed
// and weighted (reference/ops/cross_entropy.ts); the mean divides by what the samples count.
//
// Exponentials are float32 vectors; everything after them, a few numbers for each score, is float64
// and rounded once. Order of summation: classes ascending, samples ascending, in float64.
// Bytes: 4 for each score forward, 8 backward. Threads share out samples.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 4 %, backward 7 %, for 1000
// classes: what is float64 binds it.

#include <cmath>

#include "loops.h"
#include "math.h"
#include "ops.h"

namespace convnotes::CN_ISA {

namespace {

class Scores {
 public:
  explicit Scores(const Call& call, size_t first)
      : x(call.input(first)), weight(call.optional(first + 2)) {
    require(x.axes >= 1, "input is a single number");
    const int axis = x.axes > 1 ? 1 : 0;
    classes = x.shape[axis];
    step = x.size(axis + 1, x.axes);
    samples = (axis == 1 ? x.shape[0] : 1) * step;
    for (int i = 0; i < x.axes; i++)
      if (i != axis) sampleShape.push_back(x.shape[i]);
    require(call.inputs.size() > first + 1 && call.inputs[first + 1].present, "target is missing");
    const Operand& target = call.inputs[first + 1];
    if (target.dtype == DType::int64) {
      call.want(target, sampleShape, "target");
      // A copy: what is checked must be what is used, even where the output lies over the labels.
      const auto* given = static_cast<const int64_t*>(target.data);
      labels.assign(given, given + samples);
      labelled = true;
    } else {
      probabilities = call.input(first + 1).floats();
      call.wantSame(target, x, "target");
    }
    call.want(weight, {classes}, "weight");
    smoothing = call.options.number("labelSmoothing", 0);
    ignored = call.options.number("ignoreIndex", -100);
    const std::string reduction = call.options.text("reduction", "mean");
    none = reduction == "none";
    const bool mean = reduction == "mean";
    require(none || mean || reduction == "sum", "reduction must be mean, sum or none");
    double counted = 0;
    for (int64_t n = 0; labelled && n < samples; n++) {
      if (isIgnored(n)) continue;
      const int64_t label = labels[n];
      require(label >= 0 && label < classes,
              "target " + std::to_string(n) + " is " + std::to_string(label) + ", but there are " +
                  std::to_string(classes) + " classes");
      counted += weightOf(label);
    }
    divisor = mean ? (labelled ? counted : static_cast<double>(samples)) : 1;
  }

  /** Where the scores of sample n begin. */
  int64_t start(int64_t n) const { return n / step * classes * step + n % step; }
  bool isIgnored(int64_t n) const {
    return labelled && static_cast<double>(labels[n]) == ignored;
  }
  double weightOf(int64_t c) const { return weight ? weight.floats()[c] : 1; }
  double coefficient(int64_t n, int64_t c) const {
    const double t = labelled ? (c == labels[n] ? 1 : 0) : probabilities[start(n) + c * step];
    return weightOf(c) * ((1 - smoothing) * t + smoothing / static_cast<double>(classes));
  }
  /** Of a label without smoothing all other coefficients are 0. */
  bool isOneHot() const { return labelled && smoothing == 0; }
  int64_t labelOf(int64_t n) const { return labels[n]; }

  const Operand &x, &weight;
  int64_t classes, step, samples;
  std::vector<int64_t> sampleShape;
  bool none;
  double divisor;

 private:
  bool labelled = false;
  std::vector<int64_t> labels;
  const float* probabilities = nullptr;
  double smoothing, ignored;
};

/** One sample: its scores less the largest, their exponentials, and what those add up to. */
struct Sample {
  std::vector<float> shifted, exponentials;
  double total;

  void read(const Scores& s, int64_t n) {
    shifted.resize(s.classes);
    exponentials.resize(s.classes);
    const float* from = s.x.floats() + s.start(n);
    float most = -INFINITY;
    for (int64_t c = 0; c < s.classes; c++) {
      shifted[c] = from[c * s.step];
      if (shifted[c] > most || shifted[c] != shifted[c]) most = shifted[c];
    }
    total = 0;
    for (int64_t c = 0; c < s.classes; c += L) {
      const int width = static_cast<int>(std::min<int64_t>(L, s.classes - c));
      const V d = take(shifted.data() + c, width) - all(most);
      put(shifted.data() + c, d, width);
      put(exponentials.data() + c, exponential(d), width);
    }
    for (const float e : exponentials) total += e;
  }
};

}  // namespace

void cross_entropy(Call& call) {
  const Scores s(call, 0);
  const Operand& y = call.output(0);
  call.want(y, s.none ? s.sampleShape : std::vector<int64_t>{}, "output");
  std::vector<double> losses(s.samples);
  split(call.pool, s.samples, 16 * s.classes, [&](int64_t begin, int64_t end) {
    Sample sample;
    for (int64_t n = begin; n < end; n++) {
      losses[n] = 0;
      if (s.isIgnored(n)) continue;
      sample.read(s, n);
      const double log = std::log(sample.total);
      if (s.isOneHot()) {
        const int64_t c = s.labelOf(n);
        const double a = s.weightOf(c);
        if (a != 0) losses[n] = a * (log - sample.shifted[c]);
        continue;
      }
      for (int64_t c = 0; c < s.classes; c++) {
        const double a = s.coefficient(n, c);
        if (a != 0) losses[n] += a * (log - sample.shifted[c]);
      }
    }
  });
  if (s.none) {
    for (int64_t n = 0; n < s.samples; n++) y.floats()[n] = static_cast<float>(losses[n]);
    return;
  }
  double total = 0;
  for (const double loss : losses) total += loss;
  y.floats()[0] = static_cast<float>(total / s.divisor);
}

void cross_entropy_backward_input(Call& call) {
  const Operand &dy = call.input(0), &dx = call.output(0);
  const Scores s(call, 1);
  call.want(dy, s.none ? s.sampleShape : std::vector<int64_t>{}, "dy");
  call.wantSame(dx, s.x, "output");
  if (s.divisor == 0) return std::fill(dx.floats(), dx.floats() + dx.size(), 0.0f);
  split(call.pool, s.samples, 16 * s.classes, [&](int64_t begin, int64_t end) {
    Sample sample;
    std::vector<double> a(s.classes);
    for (int64_t n = begin; n < end; n++) {
      float* to = dx.floats() + s.start(n);
      const double scale = static_cast<double>(dy.floats()[s.none ? n : 0]) / s.divisor;
      sample.read(s, n);
      double sum = 0;
      if (s.isOneHot()) {
        std::fill(a.begin(), a.end(), 0.0);
        if (!s.isIgnored(n)) sum = a[s.labelOf(n)] = s.weightOf(s.labelOf(n));
      } else {
        for (int64_t c = 0; c < s.classes; c++) {
          a[c] = s.isIgnored(n) ? 0 : s.coefficient(n, c);
          sum += a[c];
        }
      }
      for (int64_t c = 0; c < s.classes; c++)
        to[c * s.step] = static_cast<float>(
            scale * (static_cast<double>(sample.exponentials[c]) / sample.total * sum - a[c]));
    }
  });
}

}  // namespace convnotes::CN_ISA
