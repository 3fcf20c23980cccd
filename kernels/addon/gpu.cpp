#include "gpu.h"

#include <dlfcn.h>

#include <cmath>
#include <cstring>

#include "gpu_program.h"
#include "program.h"

namespace convnotes::door {

namespace {

// ## Libraries
//
// A library stays open: its code may be on the stack of whoever closes it.

const GpuLibrary& libraryIn(const std::string& file) {
  void* opened = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!opened) {
    const char* why = dlerror();
    throw GpuError(file + " does not load: " + (why ? why : "no reason"));
  }
  using Entry = const GpuLibrary* (*)(size_t);
  const auto entry = reinterpret_cast<Entry>(dlsym(opened, "convnotes_gpu"));
  require(entry != nullptr, file + " holds no kernels");
  const GpuLibrary* library = entry(sizeof(GpuLibrary));
  require(library && library->bytes == sizeof(GpuLibrary),
          file + " is of another build than the addon; build both anew");
  return *library;
}

/** As `guarded`; what the device says becomes an error of its own kind. */
template <class Body>
Napi::Value onDevice(const Napi::Env& env, const Body& body) {
  return guarded(env, [&]() -> Napi::Value {
    try {
      return body();
    } catch (const GpuError& e) {
      Napi::Error error = Napi::Error::New(env, e.what());
      error.Set("code", Napi::String::New(env, "CONVNOTES_DEVICE"));
      throw error;
    }
  });
}

double numberOf(const Napi::Value& value, const char* what, double most) {
  const double x = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  require(x >= 0 && x <= most && x == std::trunc(x), std::string(what) + " must be a whole number");
  return x;
}

std::string fileOf(const Napi::Value& value) {
  require(value.IsString(), "the library's file must be a string");
  return value.As<Napi::String>().Utf8Value();
}

// ## Whose is what
//
// Each environment has its own classes; an object of another kind is refused by its tag.

constexpr napi_type_tag gpuTag{0x636f6e766e6f7465, 1}, memoryTag{0x636f6e766e6f7465, 2};

template <class T>
T& unwrapped(const Napi::Value& value, const napi_type_tag& tag, const char* what) {
  bool is = false;
  require(value.IsObject() &&
              napi_check_object_type_tag(value.Env(), value, &tag, &is) == napi_ok && is,
          std::string("expected ") + what);
  T* object = T::Unwrap(value.As<Napi::Object>());
  require(object != nullptr, std::string("expected ") + what);
  return *object;
}

class GpuObject : public Napi::ObjectWrap<GpuObject> {
 public:
  explicit GpuObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GpuObject>(info) {
    onDevice(info.Env(), [&]() -> Napi::Value {
      const std::string file = fileOf(info[0]);
      const int device = static_cast<int>(numberOf(info[1], "a device", 1024));
      const GpuLibrary& library = libraryIn(file);
      const char* why = nullptr;
      const int count = library.count(&why);
      if (device >= count)
        throw GpuError(count == 0 ? std::string(why ? why : "there is no device")
                                  : "there is no device " + std::to_string(device) + "; there are " +
                                        std::to_string(count));
      std::lock_guard lock(turn);
      if (const char* misfit = library.misfit(device)) throw GpuError(misfit);
      gpu = std::make_shared<Gpu>(library, device);
      napi_type_tag_object(info.Env(), info.This(), &gpuTag);
      return info.Env().Undefined();
    });
  }

  static Napi::Value count(const Napi::CallbackInfo& info) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      const GpuLibrary& library = libraryIn(fileOf(info[0]));
      require(info[1].IsString(), "settings must be a string");
      const std::string settings = info[1].As<Napi::String>().Utf8Value();
      const char* wrong = library.configure(settings.c_str());
      require(wrong == nullptr, wrong ? wrong : "");
      const char* why = nullptr;
      Napi::Object result = Napi::Object::New(info.Env());
      result["count"] = Napi::Number::New(info.Env(), library.count(&why));
      result["why"] = Napi::String::New(info.Env(), why ? why : "");
      return result;
    });
  }

  Napi::Value kind(const Napi::CallbackInfo& info) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      return Napi::String::New(info.Env(), open().library.kind);
    });
  }

  /** Of a list of names, those that the library has. */
  Napi::Value has(const Napi::CallbackInfo& info) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      require(info[0].IsString(), "a kernel's name must be a string");
      const std::string name = info[0].As<Napi::String>().Utf8Value();
      return Napi::Boolean::New(info.Env(), open().library.has(name.c_str()));
    });
  }

  Napi::Value describe(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return onDevice(env, [&]() -> Napi::Value {
      GpuInfo found{};
      expect(open().library.info(gpu->device, &found), "the device");
      Napi::Object result = Napi::Object::New(env);
      result["name"] = Napi::String::New(env, found.name);
      result["major"] = Napi::Number::New(env, found.major);
      result["minor"] = Napi::Number::New(env, found.minor);
      result["multiprocessors"] = Napi::Number::New(env, found.multiprocessors);
      result["freeBytes"] = Napi::Number::New(env, static_cast<double>(found.freeBytes));
      result["totalBytes"] = Napi::Number::New(env, static_cast<double>(found.totalBytes));
      return result;
    });
  }

  Napi::Value configure(const Napi::CallbackInfo& info) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      require(info[0].IsString(), "settings must be a string");
      const std::string text = info[0].As<Napi::String>().Utf8Value();
      const char* error = open().library.configure(text.c_str());
      require(error == nullptr, error ? error : "");
      return info.Env().Undefined();
    });
  }

  Napi::Value precision(const Napi::CallbackInfo& info) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      require(info[0].IsString(), "precision must be a string");
      const std::string name = info[0].As<Napi::String>().Utf8Value();
      std::lock_guard lock(turn);
      open().use();
      expect(gpu->library.setPrecision(gpu->queue, name.c_str()), "precision");
      gpu->precision = name;
      return info.Env().Undefined();
    });
  }

  Napi::Value run(const Napi::CallbackInfo& info);

  Gpu& open() const {
    require(gpu != nullptr, "the device was never opened");
    return *gpu;
  }

  std::shared_ptr<Gpu> gpu;
};

class MemoryObject : public Napi::ObjectWrap<MemoryObject> {
 public:
  explicit MemoryObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MemoryObject>(info) {
    onDevice(info.Env(), [&]() -> Napi::Value {
      gpu_ = unwrapped<GpuObject>(info[0], gpuTag, "a device").gpu;
      require(gpu_ != nullptr, "the device was never opened");
      bytes = static_cast<size_t>(numberOf(info[1], "a size", 0x1p45));
      std::lock_guard lock(turn);
      gpu_->use();
      memory = allocateOn(*gpu_, bytes, "a tensor");
      napi_type_tag_object(info.Env(), info.This(), &memoryTag);
      Napi::MemoryManagement::AdjustExternalMemory(info.Env(), weight());
      return info.Env().Undefined();
    });
  }
  ~MemoryObject() override { giveBack(Env()); }

  /** Now, rather than when JavaScript's collector finds that nobody needs it. */
  Napi::Value release(const Napi::CallbackInfo& info) {
    giveBack(info.Env());
    return info.Env().Undefined();
  }

  Napi::Value upload(const Napi::CallbackInfo& info) {
    return move(info, [&](void* data) {
      expect(gpu_->library.upload(gpu_->queue, memory, data, bytes), "upload");
    });
  }
  Napi::Value download(const Napi::CallbackInfo& info) {
    return move(info, [&](void* data) {
      expect(gpu_->library.download(gpu_->queue, data, memory, bytes), "download");
    });
  }
  Napi::Value copy(const Napi::CallbackInfo& info) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      const MemoryObject& from = unwrapped<MemoryObject>(info[0], memoryTag, "memory of a device");
      require(memory && from.gpu_ == gpu_ && from.bytes == bytes,
              "only memory of the same device and size can be copied");
      std::lock_guard lock(turn);
      gpu_->use();
      expect(gpu_->library.copy(gpu_->queue, memory, from.memory, bytes), "copy");
      expect(gpu_->library.synchronize(gpu_->queue), "copy");
      return info.Env().Undefined();
    });
  }

  /** What JavaScript's collector is told: small pieces, too, are to be given back in time. */
  int64_t weight() const { return static_cast<int64_t>(bytes) + 65536; }

  bool isOf(const Gpu& gpu) const { return memory && gpu_.get() == &gpu; }

  void* memory = nullptr;
  size_t bytes = 0;

 private:
  void giveBack(const Napi::Env& env) {
    if (!memory) return;
    Napi::MemoryManagement::AdjustExternalMemory(env, -weight());
    std::lock_guard lock(turn);
    gpu_->library.use(gpu_->device);
    gpu_->library.release(memory);
    memory = nullptr;
  }

  template <class Body>
  Napi::Value move(const Napi::CallbackInfo& info, const Body& body) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      require(memory != nullptr, "the memory was never there");
      require(info[0].IsTypedArray(), "expected a typed array");
      napi_typedarray_type type;
      size_t length = 0, offset = 0;
      void* data = nullptr;
      napi_value buffer;
      require(napi_get_typedarray_info(info.Env(), info[0], &type, &length, &data, &buffer,
                                       &offset) == napi_ok,
              "expected a typed array");
      require(info[0].As<Napi::TypedArray>().ByteLength() == bytes,
              "the array has another size than the memory");
      std::lock_guard lock(turn);
      gpu_->use();
      if (bytes > 0) body(data);
      return info.Env().Undefined();
    });
  }

  std::shared_ptr<Gpu> gpu_;
};

// ## Calls

/** Memory, dtype and shape in turn. */
std::vector<Operand> operandsOn(const Gpu& gpu, const Napi::Value& value) {
  require(value.IsArray(), "operands must be a list");
  const Napi::Array list = value.As<Napi::Array>();
  require(list.Length() % 3 == 0 && list.Length() <= 4096,
          "operands must be memory, dtype and shape in turn");
  std::vector<Operand> operands;
  for (uint32_t i = 0; i < list.Length(); i += 3) {
    Operand t;
    const Napi::Value where = list[i], dtype = list[i + 1], shape = list[i + 2];
    if (!where.IsNull()) {
      const MemoryObject& memory =
          unwrapped<MemoryObject>(where, memoryTag, "memory of a device");
      require(memory.isOf(gpu), "a tensor lies on another device");
      require(dtype.IsString() && shape.IsArray(), "operands must be memory, dtype and shape");
      const std::string name = dtype.As<Napi::String>().Utf8Value();
      int known = -1;
      for (int k = 0; k < 4; k++)
        if (name == dtypeNames[k]) known = k;
      require(known >= 0, "there is no dtype " + name);
      t.dtype = static_cast<DType>(known);
      const Napi::Array sizes = shape.As<Napi::Array>();
      require(sizes.Length() <= MAX_AXES, "a tensor has too many axes");
      double product = 1, others = 1;
      for (uint32_t k = 0; k < sizes.Length(); k++) {
        const double d = numberOf(sizes[k], "a size", 0x1p40);
        t.shape[t.axes++] = static_cast<int64_t>(d);
        product *= d;
        others *= d == 0 ? 1 : d;
      }
      require(product * dtypeBytes[known] == static_cast<double>(memory.bytes) && others <= 0x1p40,
              "shape " + t.show() + " does not describe the memory");
      t.present = true;
      t.data = memory.memory;
    }
    operands.push_back(t);
  }
  return operands;
}

Napi::Value GpuObject::run(const Napi::CallbackInfo& info) {
  return onDevice(info.Env(), [&]() -> Napi::Value {
    require(info.Length() == 4 && info[0].IsString(), "run takes kernel, inputs, outputs, options");
    const std::string kernel = info[0].As<Napi::String>().Utf8Value();
    Options options = optionsOf(info[3]);
    Gpu& on = open();
    std::vector<Operand> in = operandsOn(on, info[1]), out = operandsOn(on, info[2]);
    std::lock_guard lock(turn);
    on.use();
    static Pool nobody{1};
    Call call{kernel.c_str(), std::move(in), std::move(out), std::move(options), nobody};
    on.run(on.queue, call);
    // What has gone wrong is to be said here, and not by whoever comes next.
    expect(on.library.synchronize(on.queue), kernel);
    return info.Env().Undefined();
  });
}

// ## Programs

class GpuProgramObject : public Napi::ObjectWrap<GpuProgramObject> {
 public:
  explicit GpuProgramObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<GpuProgramObject>(info) {
    onDevice(info.Env(), [&]() -> Napi::Value {
      gpu_ = unwrapped<GpuObject>(info[0], gpuTag, "a device").gpu;
      require(gpu_ != nullptr, "the device was never opened");
      Program::Description description = descriptionOf(info[1]);
      std::lock_guard lock(turn);
      gpu_->use();
      program_ = std::make_unique<GpuProgram>(*gpu_, std::move(description));
      return info.Env().Undefined();
    });
  }
  ~GpuProgramObject() override {
    std::lock_guard lock(turn);
    program_.reset();
  }

  Napi::Value workBytes(const Napi::CallbackInfo& info) {
    return onDevice(info.Env(), [&]() -> Napi::Value {
      require(program_ != nullptr, "the program was never made");
      return Napi::Number::New(info.Env(), static_cast<double>(program_->workBytes()));
    });
  }

  Napi::Value run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return onDevice(env, [&]() -> Napi::Value {
      require(program_ != nullptr, "the program was never made");
      require(info[0].IsArray(), "what is bound must be a list");
      const Napi::Array list = info[0].As<Napi::Array>();
      require(list.Length() == program_->bounds(),
              "the program takes " + std::to_string(program_->bounds()) + " tensors");
      std::vector<void*> bound(program_->bounds(), nullptr);
      for (const Place& p : program_->places()) {
        if (!p.bound) continue;
        const Napi::Value value = list[static_cast<uint32_t>(p.at)];
        const MemoryObject& memory =
            unwrapped<MemoryObject>(value, memoryTag, "memory of a device");
        require(memory.isOf(*gpu_) && memory.bytes == p.bytes(),
                "what is bound as number " + std::to_string(p.at) + " does not fit " +
                    p.what.show());
        bound[p.at] = memory.memory;
      }
      const RunArguments given = argumentsOf(info, program_->steps());
      const Program::Watch watch{given.step, operandsOf(env, given.inputs),
                                 operandsOf(env, given.outputs)};
      std::lock_guard lock(turn);
      return Napi::Boolean::New(env, program_->run(bound, given.numbers, given.times,
                                                   given.watching ? &watch : nullptr));
    });
  }

 private:
  std::shared_ptr<Gpu> gpu_;
  std::unique_ptr<GpuProgram> program_;
};

}  // namespace

void exportGpu(Napi::Env env, Napi::Object exports) {
  exports["Gpu"] = GpuObject::DefineClass(
      env, "Gpu",
      {
          GpuObject::StaticMethod<&GpuObject::count>("count"),
          GpuObject::InstanceMethod<&GpuObject::kind>("kind"),
          GpuObject::InstanceMethod<&GpuObject::has>("has"),
          GpuObject::InstanceMethod<&GpuObject::describe>("describe"),
          GpuObject::InstanceMethod<&GpuObject::configure>("configure"),
          GpuObject::InstanceMethod<&GpuObject::precision>("precision"),
          GpuObject::InstanceMethod<&GpuObject::run>("run"),
      });
  exports["GpuMemory"] = MemoryObject::DefineClass(
      env, "GpuMemory",
      {
          MemoryObject::InstanceMethod<&MemoryObject::upload>("upload"),
          MemoryObject::InstanceMethod<&MemoryObject::download>("download"),
          MemoryObject::InstanceMethod<&MemoryObject::copy>("copy"),
          MemoryObject::InstanceMethod<&MemoryObject::release>("release"),
      });
  exports["GpuProgram"] = GpuProgramObject::DefineClass(
      env, "GpuProgram",
      {GpuProgramObject::InstanceMethod<&GpuProgramObject::run>("run"),
       GpuProgramObject::InstanceMethod<&GpuProgramObject::workBytes>("workBytes")});
}

}  // namespace convnotes::door
