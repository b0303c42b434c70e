// What the tests of the pipeline share.
#pragma once

#include <string>

#include "memod/tests/testing/raw_pipeline.h"
#include "memod/tests/testing/server_test.h"

namespace memod {

class PipelineFixture : public ServerTest {
 protected:
  RawPipeline Pipeline(const SessionHandle& session) {
    return RawPipeline(client->channel(), session.handle());
  }
  // A call of `key` computes only once the gate of that name is open.
  void Gated(const std::string& key) {
    lab.On(key, [this, key](Computing& computing) -> absl::StatusOr<std::string> {
      lab.gate(key).Pass();
      return computing.self + ":" + key;
    });
  }
};

}  // namespace memod
