#include "results/check/check.hpp"

#include <algorithm>
#include <filesystem>

namespace portolan::check {

namespace {

// Replayed files lie in the run's own folder, so that a run can be judged again anywhere: below inputs/, as many
// folders deep as the plan's paths climb.
std::string replay_folder(const plan::Plan& plan, const std::string& run) {
  std::ptrdiff_t depth = 0;
  for (const plan::Load& load : plan.loads) {
    const std::filesystem::path path(load.file);
    depth = std::max(depth, std::count(path.begin(), path.end(), std::filesystem::path("..")));
  }
  std::string inputs = run + "/inputs";
  for (; depth > 0; --depth) inputs += "/scenario";
  std::error_code ec;
  return std::filesystem::is_directory(inputs, ec) ? inputs : run;
}

}  // namespace

Expected<std::unique_ptr<Checked>> check_run(const std::string& folder, const CheckOptions& options) {
  auto out = std::make_unique<Checked>();
  auto run = open_run(folder, out->judgement);
  if (!run) return tl::unexpected<Error>(run.error());
  out->run = std::move(*run);
  auto workload = load::Workload::make(out->run.plan, replay_folder(out->run.plan, folder));
  if (!workload) {
    return fail(Exit::inconclusive, workload.error().place, "payloads cannot be computed: " + workload.error().cause);
  }
  out->workload = std::make_unique<load::Workload>(std::move(*workload));
  out->timeline = std::make_unique<Timeline>(out->run, out->judgement);
  out->ledger = std::make_unique<Ledger>(out->run, *out->timeline, *out->workload, out->judgement);
  SubscriberReader reader(out->run, *out->timeline, *out->ledger, out->judgement);
  for (const RecordFile& file : out->run.files) {
    if (file.reader.writer() == record::Writer::application) out->subscribers.push_back(reader.read(file));
  }
  out->delivery =
      std::make_unique<DeliveryJudge>(out->run, *out->timeline, *out->ledger, out->subscribers, out->judgement);
  out->delivery->judge();
  out->audit = judge_audit(out->run, *out->timeline, *out->ledger, out->subscribers, out->judgement);
  out->links = read_links(out->run, out->judgement);
  if (options.other.empty()) {
    out->judgement.not_applicable(Rule::rule12);
  } else {
    Judgement theirs;  // of the other run only its traces count
    const auto other = open_run(options.other, theirs);
    if (!other) return fail(Exit::inconclusive, other.error().place, other.error().cause);
    if (other->plan_sha256 != out->run.plan_sha256) {
      out->judgement.undecided(Rule::rule12, "the other run has another plan", options.other, "");
    }
    judge_traces(out->audit, read_traces(*other), out->judgement);
    out->compared = true;
  }
  out->statistics =
      make_statistics(out->run, *out->timeline, *out->ledger, out->subscribers, *out->delivery, out->audit);
  out->expectations = judge_expectations(out->run, out->subscribers, *out->delivery, out->links, out->audit,
                                         out->statistics, out->judgement);
  out->versions = read_file(folder + "/versions.json").value_or("");
  return out;
}

}  // namespace portolan::check
