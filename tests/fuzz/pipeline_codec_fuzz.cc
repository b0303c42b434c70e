// Hostile bytes as messages of a pipeline: the codec takes, refuses and reads them as the generated
// classes do, which have been fuzzed for long.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "memod/tests/proto/pipeline_codec_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  google::protobuf::SetLogHandler(nullptr);
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::string difference = memod::pipeline::Difference(bytes);
  if (difference.empty()) return 0;
  std::fprintf(stderr, "the codec %s\n", difference.c_str());
  std::abort();
}
