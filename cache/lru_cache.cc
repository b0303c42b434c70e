// An answer is in the index and in the list, or in neither, and the cache owns one reference to it
// and advance_ more.
// The list goes from oldest_ to newest_ through newer_, and back through older_. The index points
// at answers and compares keys in full; an answer carries its hash, so growing the index never
// reads a key.
#include "memod/cache/lru_cache.h"

#include <algorithm>
#include <utility>

namespace memod {

LruCache::Contents::~Contents() {
  for (Answer* answer = oldest_; answer != nullptr;) {
    Release(std::exchange(answer, answer->newer_));
  }
}

LruCache::~LruCache() { Clear(); }

const Answer* LruCache::Lookup(const CacheKey& key, Time now) {
  index_.prefetch(key);  // its two arrays at once, not one after the other
  const Answer* answer = Peek(key);
  if (answer != nullptr) Touch(answer, now);
  return answer;
}

void LruCache::Touch(const Answer* answer, Time now) {
  Answer* mine = const_cast<Answer*>(answer);
  Unlink(mine);
  LinkNewest(mine, now);
}

const Answer* LruCache::PrefetchAnswer(const CacheKey& key) const {
  const auto it = index_.find(Likely{key});
  if (it == index_.end()) return nullptr;
  const auto* bytes = reinterpret_cast<const char*>(*it);
  for (const size_t line : {0, 64, 128}) __builtin_prefetch(bytes + line);
  return *it;
}

void LruCache::PrefetchNeighbours(const Answer* answer) {
  if (answer == nullptr) return;
  if (answer->older_ != nullptr) __builtin_prefetch(&answer->older_->newer_, /*rw=*/1);
  if (answer->newer_ != nullptr) __builtin_prefetch(&answer->newer_->older_, /*rw=*/1);
}

// Counting a reference is an atomic operation, as costly as a third of a hit. So the cache takes
// them 255 at a time; giving one away then is a subtraction under its owner's mutex.
Answer::Ref LruCache::Share(const Answer* answer) {
  constexpr uint8_t kAdvance = 255;
  Answer* mine = const_cast<Answer*>(answer);
  if (mine->advance_ == 0) {
    mine->references_.fetch_add(kAdvance, std::memory_order_relaxed);
    mine->advance_ = kAdvance;
  }
  --mine->advance_;
  return Answer::Ref::Adopt(mine);
}

// What the cache has of it, as one reference.
Answer::Ref LruCache::Release(Answer* answer) {
  // One is left, so nothing is freed here and nothing need be ordered.
  if (answer->advance_ > 0) {
    answer->references_.fetch_sub(answer->advance_, std::memory_order_relaxed);
  }
  return Answer::Ref::Adopt(answer);
}

const Answer* LruCache::Peek(const CacheKey& key) const {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : *it;
}

int64_t LruCache::Insert(const Answer::Ref& answer, Time now, float compute_seconds,
                         Removed& removed) {
  Answer* mine = const_cast<Answer*>(Answer::Ref(answer).Release());
  mine->computed_at_ = now;
  mine->compute_seconds_ = compute_seconds;
  if (const Answer* there = Peek(mine->key())) removed.push_back(Remove(there));
  index_.insert(mine);
  LinkNewest(mine, now);
  held_ += {1, mine->charge(), compute_seconds};
  int64_t evicted = 0;
  for (; max_entries_ && held_.entries > *max_entries_; ++evicted) {
    removed.push_back(Remove(oldest_));
  }
  return evicted;
}

Answer::Ref LruCache::Remove(const Answer* answer) {
  Answer* mine = const_cast<Answer*>(answer);
  index_.erase(mine);
  Unlink(mine);
  held_ += {-1, -mine->charge(), -mine->compute_seconds_};
  // Sums of floating-point numbers drift; nothing is exactly nothing.
  if (held_.entries == 0) held_ = {};
  return Release(mine);
}

std::unique_ptr<LruCache::Contents> LruCache::Clear() {
  if (oldest_ == nullptr) return nullptr;
  std::unique_ptr<Contents> contents(new Contents);
  contents->index_.swap(index_);
  contents->oldest_ = std::exchange(oldest_, nullptr);
  contents->receipt_ = std::exchange(held_, {});
  newest_ = nullptr;
  return contents;
}

void LruCache::RemoveMethod(uint32_t method, Removed& removed) {
  for (const Answer* answer = oldest_; answer != nullptr;) {
    const Answer* next = answer->newer_;
    if (answer->method_ == method) removed.push_back(Remove(answer));
    answer = next;
  }
}

void LruCache::LinkNewest(Answer* answer, Time now) {
  answer->last_used_ = last_used_ = std::max(now, last_used_);
  answer->older_ = newest_;
  answer->newer_ = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->newer_) = answer;
  newest_ = answer;
}

void LruCache::Unlink(Answer* answer) {
  (answer->older_ == nullptr ? oldest_ : answer->older_->newer_) = answer->newer_;
  (answer->newer_ == nullptr ? newest_ : answer->newer_->older_) = answer->older_;
}

}  // namespace memod
