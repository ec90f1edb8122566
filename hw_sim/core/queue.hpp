// A bounded first-in first-out queue.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace weft {

/// A ring of at most `capacity` elements. Callers check full() and empty() first.
template <typename T>
class Queue {
public:
    explicit Queue(std::size_t capacity) : items_(capacity) {}

    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] bool full() const { return size_ == items_.size(); }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] T& front() { return items_[head_]; }
    [[nodiscard]] const T& front() const { return items_[head_]; }
    /// The element `position` places behind the front.
    [[nodiscard]] T& at(std::size_t position) { return items_[wrapped(position)]; }
    [[nodiscard]] const T& at(std::size_t position) const { return items_[wrapped(position)]; }

    T& push(T item) {
        T& slot = items_[wrapped(size_)];
        slot = std::move(item);
        ++size_;
        return slot;
    }
    void pop() {
        head_ = wrapped(1);
        --size_;
    }
    void clear() { size_ = 0; }

private:
    [[nodiscard]] std::size_t wrapped(std::size_t position) const {
        const std::size_t place = head_ + position;
        return place < items_.size() ? place : place - items_.size();
    }

    std::vector<T> items_;
    std::size_t head_ = 0;
    std::size_t size_ = 0;
};

}  // namespace weft
