// Which of the planted faults is active: read when a model comes to life, and never changed. So a fault is there from the first
// evaluation on, as it would be in the source.
#include <cstdio>
#include <cstdlib>

extern "C" unsigned int weft_mutant() {
    const char* number = std::getenv("WEFT_MUTANT");
    return number == nullptr ? 0 : static_cast<unsigned int>(std::strtoul(number, nullptr, 10));
}

/// What the running model has as its number goes into a file: the proof that the choice arrived there.
extern "C" void weft_mutant_active(unsigned int number) {
    const char* path = std::getenv("WEFT_MUTANT_PROOF");
    if (path == nullptr || *path == 0) return;
    if (std::FILE* file = std::fopen(path, "w")) {
        std::fprintf(file, "%u", number);
        std::fclose(file);
    }
}
