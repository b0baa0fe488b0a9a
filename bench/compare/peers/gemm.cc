// SGEMM of one library, C = A·B, row-major. Built three times: -DONEDNN,
// -DOPENBLAS, -DBLIS.
//
// Commands: "gemm M N K BATCH SAMPLES" (BATCH equal products one after the
// other, each with its own operands; BATCH < 0 shares B among them), "check M
// N K" (largest error over |A|·|B| against double), "version".
#ifdef ONEDNN
#include <oneapi/dnnl/dnnl.h>
#elif defined(BLIS)
#include <blis.h>
#include <cblas.h>
#else
#include <cblas.h>
#endif

#include <algorithm>
#include <cmath>

#include "common.h"

static void sgemm(int m, int n, int k, const float *a, const float *b, float *c) {
#ifdef ONEDNN
    dnnl_sgemm('N', 'N', m, n, k, 1.f, a, k, b, n, 0.f, c, n);
#else
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.f, a, k, b, n, 0.f, c, n);
#endif
}

static std::string version() {
#ifdef ONEDNN
    auto v = dnnl_version();
    return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
#elif defined(BLIS)
    return "BLIS " + std::string(bli_info_get_version_str()) + " " + bli_arch_string(bli_arch_query_id());
#else
    return std::string(openblas_get_config()) + " chosen: " + openblas_get_corename();
#endif
}

// fill uses a fixed linear congruence: values in [-1, 1).
static void fill(float *p, size_t n, uint32_t s) {
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        p[i] = float(int32_t(s)) * (1.f / 2147483648.f);
    }
}

struct Products {
    int m, n, k, batch;
    bool shared;
    float *a, *b, *c;
    Products(int m, int n, int k, int batch) : m(m), n(n), k(k), batch(std::abs(batch)), shared(batch < 0) {
        size_t count = this->batch, bs = shared ? 1 : count;
        a = static_cast<float *>(alloc_huge(count * m * k * 4));
        b = static_cast<float *>(alloc_huge(bs * k * n * 4));
        c = static_cast<float *>(alloc_huge(count * m * n * 4));
        fill(a, count * m * k, 1);
        fill(b, bs * k * n, 2);
    }
    ~Products() { free(a), free(b), free(c); }
    Products(const Products &) = delete;
    void run() {
        for (size_t i = 0; i < size_t(batch); i++)
            sgemm(m, n, k, a + i * m * k, b + (shared ? 0 : i * k * n), c + i * m * n);
    }
};

// timed repeats a product until a sample lasts about 5 ms. Before, it runs for 40
// ms, so that threads find their processors.
static std::string timed(Products &p, int samples) {
    p.run();
    double start = now_ms(), t = start, last;
    do {
        p.run();
        last = now_ms() - t;
        t += last;
    } while (t - start < 40);
    int repeat = std::max(1, int(5.0 / std::max(last, 1e-4)));
    std::vector<double> ms;
    for (int i = 0; i < samples; i++) {
        t = now_ms();
        for (int r = 0; r < repeat; r++) p.run();
        ms.push_back((now_ms() - t) / repeat);
    }
    return "{\"ms\":" + json_list(ms, "%.6f") + "}";
}

static std::string check(Products &p) {
    p.run();
    double worst = 0;
    for (int i = 0; i < p.m; i++)
        for (int j = 0; j < p.n; j++) {
            double sum = 0, mag = 0;
            for (int q = 0; q < p.k; q++) {
                double x = double(p.a[size_t(i) * p.k + q]) * p.b[size_t(q) * p.n + j];
                sum += x;
                mag += std::fabs(x);
            }
            worst = std::max(worst, std::fabs(p.c[size_t(i) * p.n + j] - sum) / mag);
        }
    char buf[60];
    snprintf(buf, sizeof buf, "{\"error\":%.3g}", worst);
    return buf;
}

int main(int argc, char **argv) {
    Args args(argc, argv);
    int threads = args.num("--threads", 1);
#ifdef BLIS
    bli_thread_set_num_threads(threads);
#elif defined(OPENBLAS)
    openblas_set_num_threads(threads);
#else
    (void)threads;  // OMP_NUM_THREADS
#endif
    serve([&](const std::string &command, std::istringstream &in) -> std::string {
        if (command == "version") return "{\"version\":\"" + version() + "\"}";
        int m = 1, n = 1, k = 1, batch = 1, samples = 10;
        in >> m >> n >> k >> batch >> samples;
        Products p(m, n, k, command == "gemm" ? batch : 1);
        if (command == "check") return check(p);
        if (command == "gemm") return timed(p, samples);
        return "{\"failure\":\"unknown command\"}";
    });
}
