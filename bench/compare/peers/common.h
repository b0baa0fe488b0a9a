// What the C++ drivers share: arguments, clock, memory, and the protocol.
//
// A driver is started once, reads one command a line from standard input and
// answers each with one line of JSON on standard output, so that several
// drivers can be kept warm and timed in turns.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

[[noreturn]] inline void fail(const std::string &message) {
    fprintf(stderr, "%s\n", message.c_str());
    exit(1);
}

// Args holds --name value pairs.
struct Args {
    std::map<std::string, std::string> values;
    Args(int argc, char **argv) {
        if (argc % 2 == 0) fail("arguments come in pairs: --name value");
        for (int i = 1; i + 1 < argc; i += 2) values[argv[i]] = argv[i + 1];
    }
    std::string str(const std::string &name, const std::string &otherwise) const {
        auto it = values.find(name);
        return it == values.end() ? otherwise : it->second;
    }
    int num(const std::string &name, int otherwise) const {
        auto it = values.find(name);
        return it == values.end() ? otherwise : atoi(it->second.c_str());
    }
};

inline double now_ms() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

// alloc_huge returns zeroed memory on huge pages where the system grants them.
inline void *alloc_huge(size_t bytes) {
    const size_t huge = size_t(2) << 20;
    size_t rounded = (bytes + huge) / huge * huge;
    void *p = nullptr;
    if (posix_memalign(&p, huge, rounded) != 0) fail("out of memory");
    madvise(p, rounded, MADV_HUGEPAGE);
    memset(p, 0, rounded);
    return p;
}

// Mapped is a file of raw float32.
struct Mapped {
    const float *data = nullptr;
    size_t count = 0;
    explicit Mapped(const std::string &path) {
        int fd = open(path.c_str(), O_RDONLY);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) != 0) fail("cannot open " + path);
        count = size_t(st.st_size) / sizeof(float);
        void *p = mmap(nullptr, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) fail("cannot map " + path);
        data = static_cast<const float *>(p);
        close(fd);
    }
    ~Mapped() { munmap(const_cast<float *>(data), count * sizeof(float)); }
    Mapped(const Mapped &) = delete;
};

inline std::string json_list(const std::vector<double> &v, const char *format = "%.4f") {
    std::string s = "[";
    char buf[40];
    for (size_t i = 0; i < v.size(); i++) {
        snprintf(buf, sizeof buf, format, v[i]);
        if (i) s += ",";
        s += buf;
    }
    return s + "]";
}

// serve answers commands until the input ends.
inline void serve(const std::function<std::string(const std::string &, std::istringstream &)> &answer) {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string command;
        words >> command;
        std::cout << answer(command, words) << std::endl;
    }
}

// Layer is one row of a configuration of VGG or RepVGG.
struct Layer {
    std::string name;
    enum Kind { conv, pool, mean, linear } kind;
    int in, out, kernel, size;  // size: height and width of the input
    bool relu;
    int stride = 1;  // of a convolution
};

// repvgg lists RepVGG in its form for inference.
inline std::vector<Layer> repvgg(const std::vector<int> &depth, const std::vector<int> &width) {
    std::vector<Layer> net;
    int in = 3, size = 224;
    for (int s = 0; s < 5; s++) {
        for (int i = 0; i < depth[s]; i++) {
            int stride = i == 0 ? 2 : 1;
            net.push_back({"conv" + std::to_string(s + 1) + "_" + std::to_string(i + 1), Layer::conv, in, width[s], 3, size, true, stride});
            in = width[s];
            size /= stride;
        }
    }
    net.push_back({"gap", Layer::mean, in, in, size, size, false});
    net.push_back({"fc6", Layer::linear, in, 1000, 0, 1, false});
    return net;
}

// vgg lists configuration A, B, C, D or E, or RepVGG-A0 or -B1, for 224×224 pictures and
// 1000 classes.
inline std::vector<Layer> vgg(const std::string &config) {
    if (config == "RepVGG-A0") return repvgg({1, 2, 4, 14, 1}, {48, 48, 96, 192, 1280});
    if (config == "RepVGG-B1") return repvgg({1, 4, 6, 16, 1}, {64, 128, 256, 512, 2048});
    static const std::map<std::string, std::vector<int>> depth = {
        {"A", {1, 1, 2, 2, 2}}, {"B", {2, 2, 2, 2, 2}}, {"C", {2, 2, 3, 3, 3}},
        {"D", {2, 2, 3, 3, 3}}, {"E", {2, 2, 4, 4, 4}}};
    static const int width[5] = {64, 128, 256, 512, 512};
    auto it = depth.find(config);
    if (it == depth.end()) fail("configuration is one of A B C D E RepVGG-A0 RepVGG-B1");
    std::vector<Layer> net;
    int in = 3, size = 224;
    for (int s = 0; s < 5; s++) {
        std::string stage = std::to_string(s + 1);
        for (int i = 0; i < it->second[s]; i++) {
            int kernel = config == "C" && i == 2 ? 1 : 3;
            net.push_back({"conv" + stage + "_" + std::to_string(i + 1), Layer::conv, in, width[s], kernel, size, true});
            in = width[s];
        }
        net.push_back({"pool" + stage, Layer::pool, in, in, 2, size, false});
        size /= 2;
    }
    net.push_back({"fc6", Layer::linear, 512 * 7 * 7, 4096, 0, 1, true});
    net.push_back({"fc7", Layer::linear, 4096, 4096, 0, 1, true});
    net.push_back({"fc8", Layer::linear, 4096, 1000, 0, 1, false});
    return net;
}
