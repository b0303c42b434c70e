// An entry is in the index and in the list, or in neither. The list goes from oldest_ to newest_
// through newer_, and back through older_. The index points at entries and compares keys in full;
// an entry carries its hash, so growing the index never reads a key.
#include "memod/cache/lru_cache.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace memod {
namespace {

// What an entry costs in the index: a pointer and a control byte at flat_hash_set's highest load.
constexpr int64_t kIndexCharge = 10;

}  // namespace

LruCache::Entry::Entry(Value v, const CacheKey& key)
    : value(std::move(v)),
      hash_(key.hash()),
      method_(key.method()),
      key_size_(static_cast<uint32_t>(key.bytes().size())) {
  std::memcpy(reinterpret_cast<char*>(this + 1), key.bytes().data(), key_size_);
}

CacheKey LruCache::Entry::key() const {
  return CacheKey(method_, {reinterpret_cast<const char*>(this + 1), key_size_}, hash_);
}

int64_t LruCache::Entry::charge() const {
  return static_cast<int64_t>(sizeof(Entry)) + key_size_ + kIndexCharge + value.answer->charge();
}

int64_t LruCache::Charge(const CacheKey& key, const Answer& answer) {
  return static_cast<int64_t>(sizeof(Entry) + key.bytes().size()) + kIndexCharge + answer.charge();
}

void LruCache::EntryDeleter::operator()(Entry* entry) const {
  entry->~Entry();
  ::operator delete(entry);
}

size_t LruCache::Hash::operator()(const Entry* entry) const { return entry->hash_; }

bool LruCache::Eq::operator()(const Entry* a, const CacheKey& b) const { return a->key() == b; }

LruCache::Contents::~Contents() {
  for (Entry* entry = oldest_; entry != nullptr;) EntryPtr(std::exchange(entry, entry->newer_));
}

LruCache::~LruCache() { Clear(); }

const LruCache::Entry* LruCache::Lookup(const CacheKey& key, Time now) {
  const auto it = index_.find(key);
  if (it == index_.end()) return nullptr;
  Entry* entry = *it;
  Unlink(entry);
  LinkNewest(entry, now);
  return entry;
}

const LruCache::Entry* LruCache::Peek(const CacheKey& key) const {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : *it;
}

int64_t LruCache::Insert(const CacheKey& key, Value value, Time now,
                         std::vector<EntryPtr>& removed) {
  if (const auto it = index_.find(key); it != index_.end()) removed.push_back(Remove(*it));
  void* memory = ::operator new(sizeof(Entry) + key.bytes().size());
  Entry* entry = new (memory) Entry(std::move(value), key);
  index_.insert(entry);
  LinkNewest(entry, now);
  held_ += {1, entry->charge(), entry->value.compute_seconds};
  int64_t evicted = 0;
  for (; max_entries_ && held_.entries > *max_entries_; ++evicted) {
    removed.push_back(Remove(oldest_));
  }
  return evicted;
}

LruCache::EntryPtr LruCache::Remove(const Entry* entry) {
  Entry* mine = const_cast<Entry*>(entry);
  index_.erase(mine);
  Unlink(mine);
  held_ += {-1, -mine->charge(), -mine->value.compute_seconds};
  // Sums of floating-point numbers drift; nothing is exactly nothing.
  if (held_.entries == 0) held_ = {};
  return EntryPtr(mine);
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

void LruCache::RemoveMethod(uint32_t method, std::vector<EntryPtr>& removed) {
  for (const Entry* entry = oldest_; entry != nullptr;) {
    const Entry* next = entry->newer_;
    if (entry->method_ == method) removed.push_back(Remove(entry));
    entry = next;
  }
}

void LruCache::LinkNewest(Entry* entry, Time now) {
  entry->last_used_ = last_used_ = std::max(now, last_used_);
  entry->older_ = newest_;
  entry->newer_ = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->newer_) = entry;
  newest_ = entry;
}

void LruCache::Unlink(Entry* entry) {
  (entry->older_ == nullptr ? oldest_ : entry->older_->newer_) = entry->newer_;
  (entry->newer_ == nullptr ? newest_ : entry->newer_->older_) = entry->older_;
}

}  // namespace memod
