// # Loops over tensors
//
// What the kernels that touch each element once share: how elements are given to threads, and
// how axes are walked.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "call.h"
#include "simd.h"

namespace convnotes::CN_ISA {

/** Runs `body(begin, end)` for parts of `count` things, each of which costs about `weight` elements. */
template <class Body>
void split(Pool& pool, int64_t count, int64_t weight, const Body& body) {
  if (count * std::max<int64_t>(weight, 1) < pool.grain() || pool.threads() == 1) {
    if (count > 0) body(int64_t{0}, count);
    return;
  }
  pool.run([&](int thread) {
    const Range r = share(count, thread, pool.threads());
    if (r.begin < r.end) body(r.begin, r.end);
  });
}

/** Runs `body(i, width)` for vectors of `count` elements: the `width` lanes from element i on. */
template <class Body>
void vectors(Pool& pool, int64_t count, const Body& body) {
  split(pool, (count + L - 1) / L, L, [&](int64_t begin, int64_t end) {
    int64_t i = begin * L;
    for (; i + L <= std::min(count, end * L); i += L) body(i, L);
    if (i < std::min(count, end * L)) body(i, static_cast<int>(count - i));
  });
}

/** `load` and `store` without a mask where all lanes count. */
CN_INLINE V take(const float* p, int width) { return width == L ? load(p) : load(p, width); }
CN_INLINE void put(float* p, V x, int width) { width == L ? store(p, x) : store(p, x, width); }

// ## Axes
//
// A nest of loops over the axes of one shape, with the steps of two tensors along each. Neighbouring
// axes that could be one are made one, so that most nests are one or two loops deep.

struct Nest {
  struct Axis {
    int64_t size, a, b;
  };
  std::vector<Axis> axes;

  void add(int64_t size, int64_t a, int64_t b) {
    if (size == 1) return;
    if (!axes.empty()) {
      Axis& last = axes.back();
      if (last.a == a * size && last.b == b * size) {
        last = {last.size * size, a, b};
        return;
      }
    }
    axes.push_back({size, a, b});
  }

  /** Takes the innermost axis away; one of size 1 where there is none. */
  Axis inner() {
    if (axes.empty()) return {1, 0, 0};
    const Axis last = axes.back();
    axes.pop_back();
    return last;
  }

  int64_t size() const {
    int64_t product = 1;
    for (const Axis& axis : axes) product *= axis.size;
    return product;
  }

  /** Runs `body(i, a, b)` for the iterations from `begin` to `end`, with both offsets. */
  template <class Body>
  void walk(int64_t begin, int64_t end, const Body& body) const {
    int64_t index[MAX_AXES] = {}, a = 0, b = 0;
    const int depth = static_cast<int>(axes.size());
    int64_t rest = begin;
    for (int k = depth - 1; k >= 0; k--) {
      index[k] = rest % axes[k].size;
      rest /= axes[k].size;
      a += index[k] * axes[k].a;
      b += index[k] * axes[k].b;
    }
    for (int64_t i = begin; i < end; i++) {
      body(i, a, b);
      for (int k = depth - 1; k >= 0; k--) {
        a += axes[k].a;
        b += axes[k].b;
        if (++index[k] < axes[k].size) break;
        a -= index[k] * axes[k].a;
        b -= index[k] * axes[k].b;
        index[k] = 0;
      }
    }
  }
};

/** How far neighbours along each axis are apart. */
inline std::vector<int64_t> stepsOf(const Operand& t) {
  std::vector<int64_t> steps(t.axes);
  int64_t step = 1;
  for (int i = t.axes - 1; i >= 0; i--) {
    steps[i] = step;
    step *= t.shape[i];
  }
  return steps;
}

/** The axis that `dim` means in `t`; negative ones count from the end. */
inline int axisOf(const Operand& t, int64_t dim) {
  const int64_t axis = dim < 0 ? dim + t.axes : dim;
  require(axis >= 0 && axis < t.axes,
          "axis " + std::to_string(dim) + " does not exist in " + t.show());
  return static_cast<int>(axis);
}

/** Steps of `t` along the axes of `whole`, to whose shape it is repeated. */
inline std::vector<int64_t> broadcastSteps(const Operand& t, const Operand& whole) {
  const std::vector<int64_t> own = stepsOf(t);
  std::vector<int64_t> steps(whole.axes, 0);
  require(t.axes <= whole.axes, t.show() + " does not broadcast to " + whole.show());
  for (int i = 0; i < t.axes; i++) {
    const int axis = whole.axes - t.axes + i;
    require(t.shape[i] == whole.shape[axis] || t.shape[i] == 1,
            t.show() + " does not broadcast to " + whole.show());
    if (t.shape[i] != 1) steps[axis] = own[i];
  }
  return steps;
}

// ## Axes that are reduced
//
// `sum`, `mean` and `max` say which axes go; what is left is the result, in order.

struct Reduction {
  /** Elements that are left, with the offset of their first in x; and those that go to each. */
  Nest kept, gone;
  /** All elements of x in order, with the offset of the one in y that each goes to. */
  Nest whole;
  /** How many go to each. */
  int64_t count = 1;

  Reduction(const Call& call, const Operand& x, const Operand& y) {
    std::vector<bool> goes(x.axes, call.options.find("dim") == nullptr);
    for (int64_t dim : call.options.list("dim")) {
      const int axis = axisOf(x, dim);
      require(!goes[axis], "an axis is named twice");
      goes[axis] = true;
    }
    const bool keepdim = call.options.flag("keepdim", false);
    const std::vector<int64_t> steps = stepsOf(x);
    std::vector<int64_t> shape;
    int64_t left = 1;
    for (int i = x.axes - 1; i >= 0; i--)
      if (!goes[i]) left *= x.shape[i];
    int64_t step = left;
    for (int i = 0; i < x.axes; i++) {
      if (goes[i]) {
        gone.add(x.shape[i], steps[i], 0);
        whole.add(x.shape[i], steps[i], 0);
        count *= x.shape[i];
        if (keepdim) shape.push_back(1);
      } else {
        step = x.shape[i] == 0 ? 0 : step / x.shape[i];
        kept.add(x.shape[i], steps[i], step);
        whole.add(x.shape[i], steps[i], step);
        shape.push_back(x.shape[i]);
      }
    }
    call.want(y, shape, "the reduced tensor");
  }
};

}  // namespace convnotes::CN_ISA
