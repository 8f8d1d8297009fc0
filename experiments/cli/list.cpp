// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iostream>
#include <span>

#include "attn/backend.hpp"
#include "experiments/cli/command.hpp"
#include "experiments/text.hpp"
#include "masks/mask.hpp"
#include "reorder/error.hpp"

namespace experiments {
namespace {

struct ListOptions {
  CommonOptions common;
  std::string name;
};

/// A strategy, generator or backend, as far as a list shows it.
struct Entry {
  std::string kind;
  std::string name;
  std::string summary;
  std::string citation;
  std::string unavailable;
  std::vector<reorder::ParamSpec> params;
  Json capabilities;
};

Json capabilities_of(const reorder::Capabilities& c) {
  return {{"rectangular", c.rectangular},
          {"symmetric_output", c.symmetric_output},
          {"deterministic", c.deterministic},
          {"thread_safe", c.thread_safe},
          {"needs", c.needs}};
}

std::vector<Entry> entries(const reorder::Registry& registry) {
  std::vector<Entry> all;
  for (const auto& strategy : registry.strategies()) {
    const auto& i = strategy->info();
    all.push_back({"strategy", i.name, i.summary, i.citation, i.unavailable, i.params,
                   capabilities_of(i.capabilities)});
  }
  for (const auto& g : masks::generators()) {
    all.push_back({"generator", g.name, g.summary, g.citation, "", g.params, {}});
  }
  for (const auto* backend : attn::backends()) {
    const auto& i = backend->info();
    all.push_back({"backend",
                   i.name,
                   i.summary,
                   "",
                   i.unavailable,
                   {},
                   Json{{"device_memory", i.device_memory}}});
  }
  return all;
}

Json value_json(const reorder::Value& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

std::string value_text(const reorder::Value& value) {
  const Json json = value_json(value);
  return json.is_string() ? "\"" + json.get<std::string>() + "\"" : json.dump();
}

Json to_json(const Entry& e) {
  Json json{{"name", e.name},
            {"summary", e.summary},
            {"citation", e.citation},
            {"available", e.unavailable.empty()},
            {"unavailable", e.unavailable},
            {"params", Json::array()}};
  for (const auto& p : e.params) {
    json["params"].push_back({{"name", p.name},
                              {"default", p.required ? Json(nullptr) : value_json(p.fallback)},
                              {"required", p.required},
                              {"min", p.min},
                              {"max", p.max},
                              {"summary", p.summary}});
  }
  if (!e.capabilities.is_null()) json["capabilities"] = e.capabilities;
  return json;
}

/// "rcm", "peel(theta=8)", "file(rows=…)": how the entry is written.
std::string signature(const Entry& e) {
  std::string text;
  for (const auto& p : e.params) {
    text += (text.empty() ? "" : ",") + p.name + "=" + (p.required ? "…" : value_text(p.fallback));
  }
  return text.empty() ? e.name : e.name + "(" + text + ")";
}

void print_kind(const std::vector<Entry>& all, const std::string& kind,
                const std::string& heading) {
  std::size_t width = 0;
  for (const Entry& e : all) {
    if (e.kind == kind) width = std::max(width, display_width(e.name));
  }
  std::cout << heading << '\n';
  for (const Entry& e : all) {
    if (e.kind != kind) continue;
    std::cout << "  " << e.name << std::string(width - display_width(e.name) + 2, ' ') << e.summary;
    if (!e.unavailable.empty()) std::cout << "  [not available: " << e.unavailable << "]";
    std::cout << '\n';
  }
}

std::string limits(const reorder::ParamSpec& p) {
  if (std::holds_alternative<std::string>(p.fallback)) return "";
  const bool low = p.min > -1e300;
  const bool high = p.max < 1e300;
  const auto text = [](double x) { return Json(x).dump(); };
  const auto number = [&](double x) {
    return x == static_cast<double>(static_cast<std::int64_t>(x))
               ? std::to_string(static_cast<std::int64_t>(x))
               : text(x);
  };
  if (low && high) return " [" + number(p.min) + " to " + number(p.max) + "]";
  if (low) return " [at least " + number(p.min) + "]";
  if (high) return " [at most " + number(p.max) + "]";
  return "";
}

void print_entry(const Entry& e) {
  std::cout << e.kind << ' ' << signature(e) << "\n  " << e.summary << '\n';
  if (!e.citation.empty()) std::cout << "  Source: " << e.citation << '\n';
  if (!e.unavailable.empty()) std::cout << "  Not available: " << e.unavailable << '\n';
  for (const auto& p : e.params) {
    std::cout << "  " << p.name << (p.required ? " (required)" : " = " + value_text(p.fallback))
              << limits(p) << "  " << p.summary << '\n';
  }
}

ExitCode list(const ListOptions& options) {
  const auto all = entries(options.common.registry());
  if (!options.name.empty()) {
    Json found = Json::array();
    std::vector<std::string> names;
    for (const Entry& e : all) {
      names.push_back(e.name);
      if (e.name != options.name) continue;
      found.push_back(to_json(e));
      if (!options.common.json) print_entry(e);
    }
    if (found.empty()) {
      throw UsageError("nothing is called '" + options.name + "'" +
                       did_you_mean(options.name, names));
    }
    if (options.common.json) print_json(found.size() == 1 ? found[0] : found);
    return ExitCode::ok;
  }
  if (options.common.json) {
    Json json{
        {"strategies", Json::array()}, {"generators", Json::array()}, {"backends", Json::array()}};
    for (const Entry& e : all) {
      json[e.kind == "strategy" ? "strategies" : e.kind + "s"].push_back(to_json(e));
    }
    print_json(json);
    return ExitCode::ok;
  }
  print_kind(all, "strategy",
             "Strategies, composed as \"peel(8)|rcm\" or \"best_of(natural,rcm,amd)\":");
  std::cout << '\n';
  print_kind(all, "generator",
             "Mask generators and modifiers, \"longformer(n=4096)|shuffle(seed=1)\":");
  std::cout << '\n';
  print_kind(all, "backend", "Attention backends:");
  std::cout << "\n`blockfill list NAME` shows parameters.\n";
  return ExitCode::ok;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  add_command<ListOptions>(app, action, "list", "Name the strategies, mask generators and backends",
                           list, [](CLI::App& command, ListOptions& options) {
                             command.add_option("name", options.name, "Show this one in full");
                           });
}

}  // namespace experiments
