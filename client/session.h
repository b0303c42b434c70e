// What a SessionHandle holds. Internal to the library.
#pragma once

#include <memory>
#include <utility>

#include "memod/client/session_channel.h"
#include "memod/client/session_handle.h"
#include "memod/client/session_keeper.h"

namespace memod {

// Destroying it lets go of the session.
struct SessionHandle::Session {
  explicit Session(std::shared_ptr<SessionKeeper> keeper) : keeper(std::move(keeper)) {}
  ~Session() {
    keeper->Release().IgnoreError();
    keeper->LetGo();
  }

  const std::shared_ptr<SessionKeeper> keeper;
  std::shared_ptr<SessionChannel> channel;  // constant once a SessionHandle has it
};

}  // namespace memod
