// # Batch normalisation
//
// In training, for each channel of n values: m = Σ x / n, v = Σ (x − m)² / n, y = (x − m)·i·γ + β
// with i = 1/√(v + ε); in evaluation m and v are the running statistics.
// Backward, with x̂ = (x − m)·i: dγ = Σ dy·x̂, dβ = Σ dy, dx = γ·i·(dy − Σdy/n − x̂·Σ(dy·x̂)/n), and in
// evaluation dx = γ·i·dy.
// A step's program has more done in the same passes: a tensor added to y and an activation behind it
// (epilogue.h; the tensor is input 5), and all three gradients at once.
//
// ## Statistics in one reading
//
// Channels are cut into parts as in reduce.h: one warp = 1,024 values of a channel, 32 of them in each lane's
// registers, or, where a channel has one value in each image, one thread = 128 values, which the first-level
// cache still has when they are read again. A part's mean m' = Σ x / n' comes first; then, of what is at
// hand, r = Σ (x − m') and q = Σ (x − m')². With exact sums r would be 0; with rounded ones
//
//     Σ (x − c) = 0 at c = m' + r/n',      Σ (x − c)² = q − r²/n',
//
// so c is off by rounding in deviations and not in x, however far from 0 a channel lies (Chan, Golub and
// LeVeque 1983, their corrected two-pass algorithm). Parts are joined in float64, without cancellation:
//
//     n = n₁ + n₂,  d = c₂ − c₁,  c = c₁ + d·n₂/n,  S = S₁ + S₂ + d²·n₁·n₂/n.
//
// An error e of a part's c enters v as 2·e·d, a rounding of d; with e ≤ γ₃₇·Σ|x − c|/n' the whole stays
// within the bound of a sum in turn, γ_n·v plus the square of the mean's error (spec/ops/batch_norm.md),
// since 1,024 terms are added in a depth of 37.
//
// What is one number for a channel is computed in float64 by whoever finishes the sum. Then one thread = four
// elements, or one where a plane is no multiple of four.
//
// Bytes: forward 12 for each element (two readings and a writing) in training and 8 in evaluation, 4 more with
// a tensor to add; backward 20 for all gradients (dy and x twice, and a writing), by themselves 20 for dx, 8
// for dγ, 4 for dβ.

#include "elementwise.h"
#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

/** The channels of a tensor, and of another one of the same shape. */
struct Channels {
  int64_t N, C, A, gap, otherGap;

  double n() const { return static_cast<double>(N) * static_cast<double>(A); }
  /** The first element of each channel. */
  Nest kept() const {
    Nest nest;
    nest.add(C, A, A);
    return nest;
  }
  /** The elements of one. */
  Nest gone() const {
    Nest nest;
    nest.add(N, C * A + gap, C * A + otherGap);
    nest.add(A, 1, 1);
    return nest;
  }
};

Channels channelsOf(const Operand& x, const Operand& other) {
  require(x.axes >= 2, "input must have a batch and channels, got " + x.show());
  return {x.shape[0], x.shape[1], x.size(2, x.axes), x.gap, other.gap};
}

double epsilon(const Call& call) { return call.options.number("eps", 1e-5); }

__device__ __forceinline__ float inverseOf(float variance, double eps) {
  return static_cast<float>(1 / sqrt(static_cast<double>(variance) + eps));
}

/** Memory for partial results, and so many rows of numbers for channels. */
template <class Value>
struct ChannelScratch {
  Value* partial;
  float* rows;

  ChannelScratch(Queue& queue, const Channels& s, int count) {
    const size_t bytes = reduceFloats(s.kept(), s.gone()) * sizeof(Value);
    char* memory =
        static_cast<char*>(queue.scratch(bytes + static_cast<size_t>(count) * s.C * sizeof(float)));
    partial = reinterpret_cast<Value*>(memory);
    rows = reinterpret_cast<float*>(memory + bytes);
  }
};

// ## Mean and variance

/** Of some values: their mean, the sum of squared deviations from it, and how many they are. */
struct Moments {
  double mean, squares;
  int count;
};

struct JoiningMoments {
  using Value = Moments;
  static constexpr Moments start{0, 0, 0};
  __device__ __forceinline__ static Moments join(const Moments& a, const Moments& b) {
    if (a.count == 0) return b;
    const int count = a.count + b.count;
    const double d = b.mean - a.mean, part = static_cast<double>(b.count) / count;
    return {a.mean + d * part, a.squares + b.squares + d * d * part * a.count, count};
  }
};

/** Of a part whose sums about a first mean are known. */
__device__ __forceinline__ Moments momentsOf(float mean, float residue, float squares, int count) {
  const double r = static_cast<double>(residue) / count;
  const double corrected = static_cast<double>(squares) - r * static_cast<double>(residue);
  // Only rounding can make it negative; a NaN stays one.
  return {static_cast<double>(mean) + r, corrected < 0 ? 0 : corrected, count};
}

template <class Finish>
GPU_KERNEL(REDUCE_THREADS)
momentsAlong(const float* x, Finish finish, Nest kept, Nest gone, int results, int count, int parts,
             Moments* partial) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp =
      (int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x)) / 32;
  const int c = static_cast<int>(warp / parts), part = static_cast<int>(warp % parts);
  if (c >= results) return;
  const float* channel = x + kept.at(c).a;
  const int begin = part * ALONG_PART, size = min(count - begin, ALONG_PART);
  float values[ALONG_PART / 32];
  float sum = 0;
#pragma unroll
  for (int k = 0; k < ALONG_PART / 32; k++) {
    const int i = k * 32 + lane;
    values[k] = i < size ? channel[gone.at(begin + i).a] : 0;
    sum += values[k];
  }
  const float mean = joinWarp<Adding>(sum) / static_cast<float>(size);
  float residue = 0, squares = 0;
#pragma unroll
  for (int k = 0; k < ALONG_PART / 32; k++) {
    const float d = k * 32 + lane < size ? values[k] - mean : 0;
    residue += d;
    squares += d * d;
  }
  residue = joinWarp<Adding>(residue);
  squares = joinWarp<Adding>(squares);
  if (lane > 0) return;
  const Moments moments = momentsOf(mean, residue, squares, size);
  if (parts == 1)
    finish(c, moments);
  else
    partial[int64_t{part} * results + c] = moments;
}

template <class Finish>
GPU_KERNEL(REDUCE_THREADS)
momentsAcross(const float* x, Finish finish, Nest kept, Nest gone, int results, int count, int parts,
              Moments* partial) {
  const int64_t thread = int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x);
  const int part = static_cast<int>(thread / results), c = static_cast<int>(thread % results);
  if (part >= parts) return;
  const float* channel = x + kept.at(c).a;
  const int begin = part * ACROSS_PART, size = min(count - begin, ACROSS_PART);
  float sum = 0, residue = 0, squares = 0;
#pragma unroll 4
  for (int i = 0; i < size; i++) sum += channel[gone.at(begin + i).a];
  const float mean = sum / static_cast<float>(size);
#pragma unroll 4
  for (int i = 0; i < size; i++) {
    const float d = channel[gone.at(begin + i).a] - mean;
    residue += d;
    squares += d * d;
  }
  const Moments moments = momentsOf(mean, residue, squares, size);
  if (parts == 1)
    finish(c, moments);
  else
    partial[int64_t{part} * results + c] = moments;
}

/** What a channel's moments are written as. */
struct FinishMoments {
  double n, momentum, eps;
  const float *runningMean, *runningVar;
  float *mean, *variance, *nextMean, *nextVar, *inverse;

  __device__ __forceinline__ void follow(float* next, const float* running, int c,
                                         double now) const {
    if (next)
      next[c] =
          static_cast<float>((1 - momentum) * static_cast<double>(running[c]) + momentum * now);
  }
  __device__ __forceinline__ void operator()(int c, const Moments& moments) const {
    const float m = static_cast<float>(moments.mean), v = static_cast<float>(moments.squares / n);
    mean[c] = m;
    variance[c] = v;
    inverse[c] = inverseOf(v, eps);
    follow(nextMean, runningMean, c, static_cast<double>(m));
    follow(nextVar, runningVar, c, static_cast<double>(v) * (n / (n - 1)));
  }
};

void findMoments(const Call& call, Queue& queue, const Channels& s, const float* x,
                 const FinishMoments& finish, Moments* partial) {
  const Nest kept = s.kept(), gone = s.gone();
  const int64_t results = kept.count(), count = gone.count();
  const bool along = runsAlong(gone);
  const int64_t parts = partsOf(count, along ? ALONG_PART : ACROSS_PART);
  require(results * parts < int64_t{1} << 31, "there are too many channels");
  enqueue(queue, along ? momentsAlong<FinishMoments> : momentsAcross<FinishMoments>, call.name,
          blocksFor(results * parts * (along ? 32 : 1), REDUCE_THREADS), REDUCE_THREADS, x, finish,
          kept, gone, static_cast<int>(results), static_cast<int>(count), static_cast<int>(parts),
          partial);
  reduceParts<JoiningMoments>(call, queue, results, parts, finish, partial);
}

/** Copies the statistics that evaluation uses, and makes what it multiplies by. */
GPU_KERNEL(ELEMENT_THREADS)
adoptStatistics(const float* runningMean, const float* runningVar, double eps, float* mean,
                float* variance, float* inverse, int channels) {
  const int c = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (c >= channels) return;
  mean[c] = runningMean[c];
  variance[c] = runningVar[c];
  inverse[c] = inverseOf(runningVar[c], eps);
}

// ## Sums of gradients

/** dy, and dy times the normalised input, of one channel. */
struct GradientTerms {
  const float *dy, *x, *mean, *variance;
  double eps;

  struct Channel {
    const float *dy, *x;
    float mean, inverse;
    __device__ __forceinline__ float2 operator()(Offsets at, int) const {
      return make_float2(dy[at.a], dy[at.a] * ((x[at.b] - mean) * inverse));
    }
  };
  __device__ __forceinline__ Channel of(int c) const {
    return {dy, x, mean[c], inverseOf(variance[c], eps)};
  }
};

/** What is wanted of a channel's sums; null for what is not. */
struct FinishGradients {
  double n, eps;
  const float* variance;
  float *dweight, *dbias, *meanDy, *meanDyNormal, *inverse;

  __device__ __forceinline__ void operator()(int c, float2 total) const {
    if (dbias) dbias[c] = total.x;
    if (dweight) dweight[c] = total.y;
    if (!inverse) return;
    meanDy[c] = static_cast<float>(static_cast<double>(total.x) / n);
    meanDyNormal[c] = static_cast<float>(static_cast<double>(total.y) / n);
    inverse[c] = inverseOf(variance[c], eps);
  }
};

GPU_KERNEL(ELEMENT_THREADS) inverses(const float* variance, double eps, float* to, int channels) {
  const int c = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (c < channels) to[c] = inverseOf(variance[c], eps);
}

// ## Elements

struct Planes {
  int channels;
  Divider byArea, byChannels;

  struct Place {
    int image, channel;
  };
  __device__ __forceinline__ Place of(int i) const {
    const int plane = byArea(i), image = byChannels(plane);
    return {image, plane - image * channels};
  }
};

/** Of an element of x; the other operand is what may be added. */
struct Normalise {
  const float *mean, *inverse, *weight, *bias;
  Epilogue then;

  __device__ __forceinline__ float operator()(int c, float x, float addend) const {
    const float normal = (x - mean[c]) * inverse[c], scale = weight ? weight[c] : 1.0f;
    const float y = bias ? fmaf(normal, scale, bias[c]) : normal * scale;
    return then(y, 0, {addend, 0});
  }
};

struct NormalGradient {
  const float *mean, *inverse, *weight, *meanDy, *meanDyNormal;

  __device__ __forceinline__ float operator()(int c, float dy, float x) const {
    const float factor = (weight ? weight[c] : 1.0f) * inverse[c];
    if (!meanDy) return dy * factor;
    const float normal = (x - mean[c]) * inverse[c];
    return factor * ((dy - meanDy[c]) - normal * meanDyNormal[c]);
  }
};

/** to = f(channel, a, b); with `fours` four neighbours are of one channel. */
template <class F>
GPU_KERNEL(ELEMENT_THREADS)
channelwise(F f, Planes planes, Spaced a, Spaced b, Spaced to, int count, bool fours) {
  const int i = (static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x)) *
                (fours ? 4 : 1);
  if (i >= count) return;
  const auto [image, c] = planes.of(i);
  if (!fours) {
    to.at(i, image) = f(c, a.at(i, image), b.at(i, image));
    return;
  }
  const float4 v = a.fourAt(i, image), w = b.fourAt(i, image);
  to.fourAt(i, image) =
      make_float4(f(c, v.x, w.x), f(c, v.y, w.y), f(c, v.z, w.z), f(c, v.w, w.w));
}

template <class F>
void eachElement(const Call& call, Queue& queue, const Channels& s, const F& f, const Operand& a,
                 const Operand& b, const Operand& to) {
  const int64_t count = s.N * s.C * s.A;
  bool fours = s.A % 4 == 0;
  for (const Operand* t : {&a, &b, &to}) fours &= aligned(t->data) && t->gap % 4 == 0;
  enqueue(queue, channelwise<F>, call.name, blocksFor(fours ? count / 4 : count, ELEMENT_THREADS),
          ELEMENT_THREADS, f, Planes{static_cast<int>(s.C), Divider(s.A), Divider(s.C)}, Spaced(a),
          Spaced(b), Spaced(to), static_cast<int>(count), fours);
}

/** Those of the gradients that are wanted, with inputs dy, x, weight?, mean, variance. */
void gradients(const Call& call, Queue& queue, const Operand& dy, const Operand& x,
               const Operand& weight, const Operand& mean, const Operand& variance,
               const Operand& dx, const Operand& dweight, const Operand& dbias) {
  const Channels s = channelsOf(dy, x);
  call.wantSame(dy, x, "dy");
  call.wantSame(dx, x, "output");
  for (const Operand* t : {&weight, &mean, &variance, &dweight, &dbias})
    call.want(*t, {s.C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  if (s.C == 0 || x.size() == 0) return;
  const double eps = epsilon(call);
  const ChannelScratch<float2> scratch(queue, s, 3);
  float *inverse = scratch.rows, *meanDy = inverse + s.C, *meanDyNormal = meanDy + s.C;
  const bool moves = dx && training;
  if (moves || dweight || dbias)
    reduce<AddingPairs>(
        call, queue, s.kept(), s.gone(),
        GradientTerms{dy.floats(), x.floats(), mean.floats(), variance.floats(), eps},
        FinishGradients{s.n(), eps, variance.floats(), dweight.floats(), dbias.floats(), meanDy,
                        meanDyNormal, dx ? inverse : nullptr},
        scratch.partial);
  else
    enqueue(queue, inverses, call.name, blocksFor(s.C, ELEMENT_THREADS), ELEMENT_THREADS,
            variance.floats(), eps, inverse, static_cast<int>(s.C));
  if (dx)
    eachElement(call, queue, s,
                NormalGradient{mean.floats(), inverse, weight.floats(), moves ? meanDy : nullptr,
                               moves ? meanDyNormal : nullptr},
                dy, x, dx);
}

}  // namespace

void batch_norm(Call& call, Queue& queue) {
  const Operand &x = call.inputApart(0), &weight = call.optional(1), &bias = call.optional(2);
  const Operand &runningMean = call.optional(3), &runningVar = call.optional(4);
  const Operand& addend = call.optional(5);
  const Operand &y = call.outputApart(0), &saveMean = call.output(1), &saveVar = call.output(2);
  const Operand &nextMean = call.optionalOutput(3), &nextVar = call.optionalOutput(4);
  const Channels s = channelsOf(x, x);
  call.wantSame(y, x, "output");
  call.wantSame(addend, x, "what is added");
  for (const Operand* t : {&weight, &bias, &runningMean, &runningVar, &saveMean, &saveVar, &nextMean,
                           &nextVar})
    call.want(*t, {s.C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  const double momentum = call.options.number("momentum", 0.1), eps = epsilon(call);
  require(training || (runningMean && runningVar), "evaluation needs running statistics");
  require(!nextMean || runningMean, "there is no running mean to follow");
  require(!nextVar || runningVar, "there is no running variance to follow");
  const Epilogue then{nullptr, addend.floats(), nullptr, activationOf(call)};
  if (x.size() == 0) return;
  const ChannelScratch<Moments> scratch(queue, s, 1);
  float* inverse = scratch.rows;
  if (training)
    findMoments(call, queue, s, x.floats(),
                {s.n(), momentum, eps, runningMean.floats(), runningVar.floats(), saveMean.floats(),
                 saveVar.floats(), nextMean.floats(), nextVar.floats(), inverse},
                scratch.partial);
  else
    enqueue(queue, adoptStatistics, call.name, blocksFor(s.C, ELEMENT_THREADS), ELEMENT_THREADS,
            runningMean.floats(), runningVar.floats(), eps, saveMean.floats(), saveVar.floats(),
            inverse, static_cast<int>(s.C));
  eachElement(call, queue, s,
              Normalise{saveMean.floats(), inverse, weight.floats(), bias.floats(), then},
              x, addend ? addend : x, y);
}

void batch_norm_backward(Call& call, Queue& queue) {
  gradients(call, queue, call.inputApart(0), call.inputApart(1), call.optional(2), call.input(3),
            call.input(4), call.output(0), call.optionalOutput(1), call.optionalOutput(2));
}

void batch_norm_backward_input(Call& call, Queue& queue) {
  gradients(call, queue, call.inputApart(0), call.inputApart(1), call.optional(2), call.input(3),
            call.input(4), call.output(0), {}, {});
}

void batch_norm_backward_weight(Call& call, Queue& queue) {
  gradients(call, queue, call.inputApart(0), call.inputApart(1), {}, call.input(2), call.input(3),
            {}, call.output(0), {});
}

void batch_norm_backward_bias(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &dbias = call.output(0);
  const Channels s = channelsOf(dy, dy);
  call.want(dbias, {s.C}, "dbias");
  const ChannelScratch<float> scratch(queue, s, 0);
  reduce<Adding>(call, queue, s.kept(), s.gone(), Element{dy.floats()}, Quotient{dbias.floats(), 1},
                 scratch.partial);
}

}  // namespace convnotes::gpu_rooms
