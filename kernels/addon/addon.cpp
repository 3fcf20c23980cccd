// # The addon
//
// The door between JavaScript and the kernels. Everything that comes through it is checked here as to
// what it is (typed arrays of known types, shapes that they fill), and in each kernel as to whether
// it fits; nothing that JavaScript passes can make a kernel touch memory that is not its own. The
// door knows no operation by name.
//
//     start({ isa?, threads?, grain? })   chooses the kernels and the number of threads
//     describe()                          { isa, isas, threads, kernels, sources }
//     run(kernel, inputs, outputs, options)
//
// `sources` tells the sources that it was built from (build.mjs); `grain` is Pool's.
// A kernel is its place in `describe().kernels`; inputs and outputs are lists of data and shape in
// turn, `[data, shape, data, shape, …]`, null and null where one is left out.

#include <algorithm>
#include <cmath>
#include <thread>

#include "door.h"
#include "gpu.h"
#include "program.h"

namespace convnotes::door {

// ## The team
//
// All JavaScript threads of a process share one team of kernel threads, and take turns. It goes with
// the last environment that uses it.

std::mutex turn;

namespace {

std::weak_ptr<Team> shared;

struct Instance {
  std::shared_ptr<Team> team;
};

constexpr int MOST_THREADS = 256;

int defaultThreads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, MOST_THREADS);
}

}  // namespace

Team& teamOf(const Napi::Env& env) {
  Instance* instance = env.GetInstanceData<Instance>();
  if (!instance->team) {
    instance->team = shared.lock();
    if (!instance->team) {
      instance->team = std::make_shared<Team>(convnotes::instructionSets()[0], defaultThreads());
      shared = instance->team;
    }
  }
  return *instance->team;
}

// ## Reading arguments

// Reading a property may run a getter, and a getter may take an array's memory away. So everything
// is read first, and only then are addresses asked for, after which no JavaScript runs.

std::vector<Passed> read(Napi::Value list, const char* what) {
  require(list.IsArray(), std::string(what) + " must be a list");
  const Napi::Array pairs = list.As<Napi::Array>();
  require(pairs.Length() % 2 == 0 && pairs.Length() <= 4096,
          std::string(what) + " must be data and shape in turn");
  std::vector<Passed> passed;
  for (uint32_t i = 0; i < pairs.Length(); i += 2) {
    Passed p{pairs[i], {}};
    const Napi::Value shape = pairs[i + 1];
    if (!p.data.IsNull() && !p.data.IsUndefined()) {
      require(p.data.IsTypedArray(), std::string(what) + " must be typed arrays or null");
      require(shape.IsArray(), "a shape must be an array");
      const Napi::Array sizes = shape.As<Napi::Array>();
      require(sizes.Length() <= MAX_AXES,
              "a tensor of " + std::to_string(sizes.Length()) + " axes; at most " +
                  std::to_string(MAX_AXES) + " are possible");
      for (uint32_t k = 0; k < sizes.Length(); k++) {
        const Napi::Value size = sizes[k];
        p.shape.push_back(size.IsNumber() ? size.As<Napi::Number>().DoubleValue() : -1);
      }
    }
    passed.push_back(std::move(p));
  }
  return passed;
}

static Operand operandOf(const Napi::Env& env, const Passed& passed) {
  Operand t;
  if (passed.data.IsNull() || passed.data.IsUndefined()) return t;
  napi_typedarray_type type;
  size_t length = 0, offset = 0;
  void* begin = nullptr;
  napi_value buffer;
  require(napi_get_typedarray_info(env, passed.data, &type, &length, &begin, &buffer, &offset) ==
              napi_ok,
          "not a typed array");
  switch (type) {
    case napi_float32_array:
      t.dtype = DType::float32;
      break;
    case napi_float64_array:
      t.dtype = DType::float64;
      break;
    case napi_bigint64_array:
      t.dtype = DType::int64;
      break;
    case napi_uint8_array:
      t.dtype = DType::uint8;
      break;
    default:
      throw Refusal(
          "tensors must be Float32Array, Float64Array, BigInt64Array or Uint8Array");
  }
  // No product overflows: sizes other than 0 have one of at most MOST_ELEMENTS.
  constexpr double MOST_ELEMENTS = 0x1p40, MOST_WITHOUT = 0x1p24;
  double product = 1, others = 1;
  for (const double d : passed.shape) {
    require(d >= 0 && d <= MOST_ELEMENTS && d == static_cast<double>(static_cast<int64_t>(d)),
            "a shape must hold whole numbers");
    t.shape[t.axes++] = static_cast<int64_t>(d);
    product *= d;
    others *= d == 0 ? 1 : d;
  }
  require(product == static_cast<double>(length), "shape " + t.show() + " does not describe " +
                                                      std::to_string(length) + " elements");
  require(product != 0 || others <= MOST_WITHOUT, "shape " + t.show() + " is too large");
  t.present = true;
  static float nothing[1];
  t.data = begin && length > 0 ? begin : nothing;
  return t;
}

std::vector<Operand> operandsOf(const Napi::Env& env, const std::vector<Passed>& passed) {
  std::vector<Operand> operands;
  for (const Passed& p : passed) operands.push_back(operandOf(env, p));
  return operands;
}

Options optionsOf(Napi::Value value) {
  require(value.IsObject(), "options must be an object");
  const Napi::Object object = value.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  Options options;
  for (uint32_t i = 0; i < names.Length(); i++) {
    const Napi::Value name = names[i];
    const Napi::Value v = object.Get(name);
    Option o;
    o.name = name.ToString().Utf8Value();
    if (v.IsNumber()) {
      o.numbers = {v.As<Napi::Number>().DoubleValue()};
    } else if (v.IsBoolean()) {
      o.kind = Option::Kind::flag;
      o.numbers = {v.As<Napi::Boolean>().Value() ? 1.0 : 0.0};
    } else if (v.IsString()) {
      o.kind = Option::Kind::text;
      o.text = v.As<Napi::String>().Utf8Value();
    } else if (v.IsBigInt()) {
      bool lossless;
      o.kind = Option::Kind::big;
      o.big = v.As<Napi::BigInt>().Uint64Value(&lossless);
    } else if (v.IsArray()) {
      o.kind = Option::Kind::list;
      const Napi::Array list = v.As<Napi::Array>();
      require(list.Length() <= 1024, o.name + " has too many elements");
      for (uint32_t k = 0; k < list.Length(); k++) {
        const Napi::Value element = list[k];
        require(element.IsNumber(), o.name + " must hold numbers");
        o.numbers.push_back(element.As<Napi::Number>().DoubleValue());
      }
    } else {
      // Undefined is as good as left out; anything else no kernel asks for.
      continue;
    }
    options.entries.push_back(std::move(o));
  }
  return options;
}

// ## What JavaScript calls

/** A Napi::TypeError whose `code` says that the kernel refused its arguments. */
Napi::Error refusal(const Napi::Env& env, const std::string& message) {
  Napi::Error error = Napi::TypeError::New(env, message);
  error.Set("code", Napi::String::New(env, "CONVNOTES_REFUSED"));
  return error;
}

namespace {

Napi::Value start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Options options = optionsOf(info.Length() > 0 ? info[0] : env.Undefined());
    const std::string isa = options.text("isa", "");
    const double threads = options.number("threads", defaultThreads());
    require(threads >= 1 && threads <= MOST_THREADS && threads == static_cast<int>(threads),
            "threads must be a whole number from 1 to " + std::to_string(MOST_THREADS));
    const double grain = options.number("grain", static_cast<double>(Pool::GRAIN));
    require(grain >= 0 && grain <= 0x1p40, "grain must be a number from 0 on");
    const std::vector<InstructionSet> sets = convnotes::instructionSets();
    const InstructionSet* chosen = isa.empty() ? &sets[0] : nullptr;
    std::string names;
    for (const InstructionSet& set : sets) {
      if (isa == set.name) chosen = &set;
      names += (names.empty() ? "" : ", ") + std::string(set.name);
    }
    require(chosen != nullptr, "this processor has no " + isa + "; it has " + names);
    std::lock_guard lock(turn);
    Instance* instance = env.GetInstanceData<Instance>();
    instance->team.reset();
    instance->team = std::make_shared<Team>(*chosen, static_cast<int>(threads),
                                            static_cast<int64_t>(grain));
    shared = instance->team;
    return env.Undefined();
  });
}

Napi::Value describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    std::lock_guard lock(turn);
    Team& team = teamOf(env);
    const std::vector<InstructionSet> sets = convnotes::instructionSets();
    Napi::Array isas = Napi::Array::New(env);
    for (size_t i = 0; i < sets.size(); i++)
      isas[static_cast<uint32_t>(i)] = Napi::String::New(env, sets[i].name);
    const auto names = [&](const std::vector<Kernel>& list) {
      Napi::Array all = Napi::Array::New(env);
      for (size_t i = 0; i < list.size(); i++)
        all[static_cast<uint32_t>(i)] = Napi::String::New(env, list[i].name);
      return all;
    };
    Napi::Object result = Napi::Object::New(env);
    result["isa"] = Napi::String::New(env, team.set.name);
    result["isas"] = isas;
    result["threads"] = Napi::Number::New(env, team.pool.threads());
    result["kernels"] = names(team.set.kernels->list);
    result["sources"] = Napi::String::New(env, CN_SOURCES);
    result["fused"] = names(team.set.kernels->fused);
    return result;
  });
}

Napi::Value run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    require(info.Length() == 4 && info[0].IsNumber(), "run takes kernel, inputs, outputs, options");
    const double place = info[0].As<Napi::Number>().DoubleValue();
    Options options = optionsOf(info[3]);
    const std::vector<Passed> in = read(info[1], "inputs"), out = read(info[2], "outputs");
    std::lock_guard lock(turn);
    Team& team = teamOf(env);
    const auto& list = team.set.kernels->list;
    require(place >= 0 && place < static_cast<double>(list.size()) &&
                place == std::trunc(place),
            "there is no such kernel");
    const convnotes::Kernel& kernel = list[static_cast<size_t>(place)];
    Call call{kernel.name, operandsOf(env, in), operandsOf(env, out), std::move(options),
              team.pool};
    kernel.run(call);
    return env.Undefined();
  });
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Instance);
  exports["start"] = Napi::Function::New(env, start, "start");
  exports["describe"] = Napi::Function::New(env, describe, "describe");
  exports["run"] = Napi::Function::New(env, run, "run");
  exports["Program"] = programClass(env);
  exportGpu(env, exports);
  return exports;
}

NODE_API_MODULE(convnotes, initialise)

}  // namespace
}  // namespace convnotes::door
