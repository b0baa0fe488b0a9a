// A whole VGG network on oneDNN: weights reordered once, blocked activations
// between layers, ReLU fused into the convolution and the inner product,
// every primitive created once. All buffers are on huge pages.
//
//   onednn_vgg --config D --batch 1 --algo auto|winograd|direct --weights FILE [--maxima FILE --levels 127]
//
// With --maxima it computes on bytes: activations from 0 to 255 with a scale for
// each layer, from the file's largest activations, and weights from -levels to
// levels with a scale for each output.
//
// Threads come from OMP_NUM_THREADS. Commands: "check FILE N" (logits of N
// pictures), "run N" (N timed forwards), "layers N" (the same, per layer with
// its reorder and its pool, weights cold), "hot N" (each layer by itself, N
// times in a row, weights and activations as warm as the caches allow).
#include <oneapi/dnnl/dnnl.hpp>

#include <cmath>
#include <memory>

#include "common.h"

using dnnl::algorithm;
using dnnl::memory;
using dims = memory::dims;
using dt = memory::data_type;
using tag = memory::format_tag;

static dnnl::engine eng(dnnl::engine::kind::cpu, 0);
static dnnl::stream stream_(eng);

static memory make(const memory::desc &d) {
    return memory(d, eng, d.get_size() ? alloc_huge(d.get_size()) : nullptr);
}

static void reorder(memory from, memory to) {
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
}

static memory constant(const float *data, const memory::desc &plain, const memory::desc &want) {
    memory src(plain, eng, const_cast<float *>(data)), dst = make(want);
    reorder(src, dst);
    return dst;
}

struct Step {
    std::string name, impl;
    dnnl::primitive primitive;
    std::unordered_map<int, memory> args;
};

// Bytes says how a layer with weights computes on bytes.
struct Bytes {
    float in, out;               // what a whole number of the source and of the result stands for; out 0: floats
    int levels;
    std::vector<float> weights;  // likewise, of each output

    Bytes(float in, float out, int levels, const float *w, int rows, size_t row) : in(in), out(out), levels(levels), weights(rows) {
        for (int k = 0; k < rows; k++) {
            float most = 0;
            for (size_t i = 0; i < row; i++) most = std::max(most, std::fabs(w[k * row + i]));
            weights[k] = most / levels;
        }
    }
    std::vector<float> inverse() const {
        std::vector<float> v;
        for (float s : weights) v.push_back(1 / s);
        return v;
    }
    // scales turn sums of products into results.
    std::vector<float> scales() const {
        std::vector<float> v;
        for (float s : weights) v.push_back(in * s / (out ? out : 1));
        return v;
    }
    std::vector<float> bias(const float *b) const {
        std::vector<float> v;
        for (size_t k = 0; k < weights.size(); k++) v.push_back(b[k] / (in * weights[k]));
        return v;
    }
};

struct Net {
    int batch;
    std::vector<Step> steps;
    memory input, output;
    size_t scratch_bytes = 0;

    dnnl::primitive_attr attr(bool relu, const Bytes *q = nullptr) {
        dnnl::primitive_attr a;
        if (q) a.set_output_scales(1 << 1, q->scales());
        a.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        if (relu) {
            dnnl::post_ops ops;
            ops.append_eltwise(1.f, algorithm::eltwise_relu, 0.f, 0.f);
            a.set_post_ops(ops);
        }
        return a;
    }

    // fit adds a reorder if the primitive wants another layout than src has.
    memory fit(const std::string &name, memory src, const memory::desc &want) {
        if (src.get_desc() == want) return src;
        memory dst = make(want);
        steps.push_back({name + " reorder", "reorder", dnnl::reorder(src, dst), {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, dst}}});
        return dst;
    }

    template <class PD>
    void scratch(const PD &pd, std::unordered_map<int, memory> &args) {
        args[DNNL_ARG_SCRATCHPAD] = memory(pd.scratchpad_desc(), eng, nullptr);
        scratch_bytes = std::max(scratch_bytes, pd.scratchpad_desc().get_size());
    }

    // weights of floats, or of bytes.
    memory weights(const float *w, const memory::desc &plain, const memory::desc &want, const Bytes *q) {
        if (!q) return constant(w, plain, want);
        dnnl::primitive_attr a;
        a.set_output_scales(1 << 0, q->inverse());
        memory src(plain, eng, const_cast<float *>(w)), dst = make(want);
        dnnl::reorder(src, dst, a).execute(stream_, src, dst);
        stream_.wait();
        return dst;
    }

    memory biases(const float *b, int n, const memory::desc &want, const Bytes *q) {
        std::vector<float> v;
        if (q) v = q->bias(b);
        return constant(q ? v.data() : b, memory::desc({n}, dt::f32, tag::x), want);
    }

    // bytes adds a reorder that rounds the pictures.
    memory bytes(memory src, float scale) {
        memory dst = make(memory::desc(src.get_desc().dims(), dt::s8, tag::nhwc));
        dnnl::primitive_attr a;
        a.set_output_scales(0, {1 / scale});
        steps.push_back({"input reorder", "reorder", dnnl::reorder(dnnl::reorder::primitive_desc(src, dst, a)), {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, dst}}});
        return dst;
    }

    memory conv(const Layer &l, memory src, const float *w, const float *b, algorithm algo, const Bytes *q) {
        int pad = l.kernel / 2;
        int side = l.size / l.stride;
        dims sd = {batch, l.in, l.size, l.size}, wd = {l.out, l.in, l.kernel, l.kernel}, dd = {batch, l.out, side, side};
        auto any = [](const dims &d, dt t) { return memory::desc(d, t, tag::any); };
        auto st = src.get_desc().data_type(), wt = q ? dt::s8 : dt::f32, rt = q && q->out ? dt::u8 : dt::f32;
        auto create = [&](algorithm a) {
            // The first layer reads the caller's NCHW; asking for any other
            // layout would only put a reorder in front.
            auto sdesc = l.in == 3 ? src.get_desc() : any(sd, st);
            dnnl::convolution_forward::desc d(dnnl::prop_kind::forward_inference, a, sdesc, any(wd, wt),
                                              memory::desc({l.out}, dt::f32, tag::x), any(dd, rt), {l.stride, l.stride}, {pad, pad}, {pad, pad});
            return dnnl::convolution_forward::primitive_desc(d, attr(l.relu, q), eng);
        };
        dnnl::convolution_forward::primitive_desc pd;
        try {
            pd = create(algo);
        } catch (const dnnl::error &) {
            pd = create(algorithm::convolution_direct);
        }
        src = fit(l.name, src, pd.src_desc());
        memory dst = make(pd.dst_desc());
        Step s{l.name, pd.impl_info_str(), dnnl::convolution_forward(pd), {
            {DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst},
            {DNNL_ARG_WEIGHTS, weights(w, memory::desc(wd, dt::f32, tag::oihw), pd.weights_desc(), q)},
            {DNNL_ARG_BIAS, biases(b, l.out, pd.bias_desc(), q)}}};
        scratch(pd, s.args);
        steps.push_back(s);
        return dst;
    }

    memory pool(const Layer &l, memory src) {
        int side = l.size / l.kernel;
        memory::desc dd({batch, l.out, side, side}, src.get_desc().data_type(), tag::any);
        auto algo = l.kind == Layer::mean ? algorithm::pooling_avg_exclude_padding : algorithm::pooling_max;
        dnnl::pooling_forward::desc d(dnnl::prop_kind::forward_inference, algo, src.get_desc(), dd,
                                      {l.kernel, l.kernel}, {l.kernel, l.kernel}, {0, 0}, {0, 0});
        dnnl::pooling_forward::primitive_desc pd(d, attr(false), eng);
        memory dst = make(pd.dst_desc());
        Step s{l.name, pd.impl_info_str(), dnnl::pooling_forward(pd), {{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}}};
        scratch(pd, s.args);
        steps.push_back(s);
        return dst;
    }

    memory linear(const Layer &l, memory src, const float *w, const float *b, const Bytes *q) {
        auto sd = src.get_desc().dims();
        bool spatial = sd.size() == 4;
        dims wd = spatial ? dims{l.out, sd[1], sd[2], sd[3]} : dims{l.out, l.in};
        auto any = [](const dims &d, dt t) { return memory::desc(d, t, tag::any); };
        auto st = src.get_desc().data_type(), wt = q ? dt::s8 : dt::f32, rt = q && q->out ? dt::u8 : dt::f32;
        dnnl::inner_product_forward::desc d(dnnl::prop_kind::forward_inference, any(sd, st), any(wd, wt),
                                            memory::desc({l.out}, dt::f32, tag::x), any({batch, l.out}, rt));
        dnnl::inner_product_forward::primitive_desc pd(d, attr(l.relu, q), eng);
        src = fit(l.name, src, pd.src_desc());
        memory dst = make(pd.dst_desc());
        Step s{l.name, pd.impl_info_str(), dnnl::inner_product_forward(pd), {
            {DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst},
            {DNNL_ARG_WEIGHTS, weights(w, memory::desc(wd, dt::f32, spatial ? tag::oihw : tag::oi), pd.weights_desc(), q)},
            {DNNL_ARG_BIAS, biases(b, l.out, pd.bias_desc(), q)}}};
        scratch(pd, s.args);
        steps.push_back(s);
        return dst;
    }

    Net(const std::string &config, int batch, algorithm algo, const Mapped &weights, const Mapped *maxima, int levels) : batch(batch) {
        input = make(memory::desc({batch, 3, 224, 224}, dt::f32, tag::nchw));
        memory x = input;
        const float *w = weights.data;
        size_t layer = 0;  // with weights
        if (maxima) x = bytes(x, maxima->data[0] / 127);
        for (const Layer &l : vgg(config)) {
            if (l.kind == Layer::pool || l.kind == Layer::mean) {
                x = pool(l, x);
                continue;
            }
            size_t n = size_t(l.in) * l.out * (l.kind == Layer::conv ? l.kernel * l.kernel : 1);
            std::unique_ptr<Bytes> q;
            if (maxima) {
                if (layer + 1 >= maxima->count) fail("the file of maxima is too short");
                float in = maxima->data[layer] / (layer ? 255 : 127);
                q.reset(new Bytes(in, l.relu ? maxima->data[layer + 1] / 255 : 0, levels, w, l.out, n / l.out));
            }
            layer++;
            x = l.kind == Layer::conv ? conv(l, x, w, w + n, algo, q.get()) : linear(l, x, w, w + n, q.get());
            w += n + l.out;
        }
        if (w != weights.data + weights.count) fail("the weight file has another length");
        output = fit("logits", x, memory::desc({batch, 1000}, dt::f32, tag::nc));
        void *pad = alloc_huge(scratch_bytes + 64);
        for (Step &s : steps)
            if (s.args.count(DNNL_ARG_SCRATCHPAD)) s.args[DNNL_ARG_SCRATCHPAD].set_data_handle(pad);
    }

    double run() {
        double t = now_ms();
        for (Step &s : steps) s.primitive.execute(stream_, s.args);
        stream_.wait();
        return now_ms() - t;
    }

    // group is a layer: its reorder, its primitive, the pool behind it.
    struct Group {
        std::string name, impl;
        size_t begin, end;
    };

    std::vector<Group> groups() const {
        std::vector<Group> g;
        for (size_t i = 0; i < steps.size(); i++) {
            const std::string &name = steps[i].name;
            bool pool = name.compare(0, 4, "pool") == 0, reorder = steps[i].impl == "reorder";
            bool follows = i > 0 && steps[i - 1].impl == "reorder";
            if (pool || (follows && !reorder))
                g.back().end = i + 1;
            else
                g.push_back({name, "", i, i + 1});
            if (pool)
                g.back().name += "+" + name;
            else if (!reorder)
                g.back().name = name;
            g.back().impl += (g.back().impl.empty() ? "" : " ") + steps[i].impl;
        }
        return g;
    }

    double run(const Group &g) {
        double t = now_ms();
        for (size_t i = g.begin; i < g.end; i++) steps[i].primitive.execute(stream_, steps[i].args);
        stream_.wait();
        return now_ms() - t;
    }

    std::string check(const Mapped &pictures, int n) {
        const size_t one = 3 * 224 * 224;
        std::vector<double> logits;
        for (int i = 0; i < n; i += batch) {
            auto in = static_cast<float *>(input.get_data_handle());
            for (int j = 0; j < batch; j++) memcpy(in + j * one, pictures.data + ((i + j) % n) * one, one * 4);
            run();
            auto out = static_cast<float *>(output.get_data_handle());
            logits.insert(logits.end(), out, out + 1000 * std::min(batch, n - i));
        }
        return "{\"logits\":" + json_list(logits, "%.9g") + "}";
    }

    std::string layers(int rounds, bool hot) {
        auto gs = groups();
        std::vector<std::vector<double>> ms(gs.size());
        if (hot) {
            for (size_t i = 0; i < gs.size(); i++) {
                run(gs[i]);
                for (int r = 0; r < rounds; r++) ms[i].push_back(run(gs[i]));
            }
        } else {
            for (int r = 0; r < rounds; r++)
                for (size_t i = 0; i < gs.size(); i++) ms[i].push_back(run(gs[i]));
        }
        std::string s = "{\"layers\":[";
        for (size_t i = 0; i < gs.size(); i++)
            s += (i ? ",{" : "{") + ("\"name\":\"" + gs[i].name) + "\",\"impl\":\"" + gs[i].impl + "\",\"ms\":" + json_list(ms[i]) + "}";
        return s + "]}";
    }
};

int main(int argc, char **argv) {
    Args args(argc, argv);
    const std::map<std::string, algorithm> algos = {{"auto", algorithm::convolution_auto},
                                                    {"winograd", algorithm::convolution_winograd},
                                                    {"direct", algorithm::convolution_direct}};
    auto algo = algos.find(args.str("--algo", "auto"));
    if (algo == algos.end()) fail("--algo is auto, winograd or direct");
    auto weights = new Mapped(args.str("--weights", ""));
    const std::string maxima = args.str("--maxima", "");
    Mapped *most = maxima.empty() ? nullptr : new Mapped(maxima);
    Net net(args.str("--config", "D"), args.num("--batch", 1), algo->second, *weights, most, args.num("--levels", 127));
    delete weights;  // every weight has been copied
    auto v = dnnl_version();
    serve([&](const std::string &command, std::istringstream &in) -> std::string {
        int n = 1;
        if (command == "version")
            return "{\"version\":\"oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch) + "\"}";
        if (command == "check") {
            std::string path;
            in >> path >> n;
            return net.check(Mapped(path), n);
        }
        in >> n;
        if (command == "layers" || command == "hot") return net.layers(n, command == "hot");
        if (command != "run") return "{\"failure\":\"unknown command\"}";
        std::vector<double> ms;
        for (int i = 0; i < n; i++) ms.push_back(net.run());
        return "{\"ms\":" + json_list(ms) + "}";
    });
}
