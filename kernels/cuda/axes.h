// # Axes, as kernels are told of them
//
// A nest of loops over the axes of one shape, with the steps of two tensors along each. It is plain data
// that a launch passes by value; a thread finds the offsets of its element from the element's
// number. Neighbouring axes that could be one are made one, so that most nests are one or two deep.

#pragma once

#include "room.h"

namespace convnotes::gpu_rooms {

struct Offsets {
  int a, b;
};

struct Nest {
  int axes = 0;
  int size[MAX_AXES], a[MAX_AXES], b[MAX_AXES];
  Divider by[MAX_AXES];

  void add(int64_t count, int64_t stepA, int64_t stepB) {
    if (count == 1) return;
    int k = axes;
    if (k > 0 && a[k - 1] == stepA * count && b[k - 1] == stepB * count) {
      k--;
      count *= size[k];
    } else {
      axes++;
    }
    size[k] = static_cast<int>(count);
    a[k] = static_cast<int>(stepA);
    b[k] = static_cast<int>(stepB);
    by[k] = Divider(count > 0 ? count : 1);
  }

  int64_t count() const {
    int64_t product = 1;
    for (int k = 0; k < axes; k++) product *= size[k];
    return product;
  }

  __device__ __forceinline__ Offsets at(int i) const {
    Offsets at{0, 0};
    for (int k = axes - 1; k > 0; k--) {
      const int outer = by[k](i), inner = i - outer * size[k];
      at.a += inner * a[k];
      at.b += inner * b[k];
      i = outer;
    }
    if (axes > 0) {
      at.a += i * a[0];
      at.b += i * b[0];
    }
    return at;
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
  if (t.axes > 0) steps[0] += t.gap;
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
// The options `dim` and `keepdim` say which axes go; what is left is the result, in order.

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
    int64_t step = 1;
    for (int i = 0; i < x.axes; i++)
      if (!goes[i]) step *= x.shape[i];
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

}  // namespace convnotes::gpu_rooms
