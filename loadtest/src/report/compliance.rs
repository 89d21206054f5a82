//! The report on Điều 7 that is handed in, in Vietnamese or in English.

use lgsp_shared::refusal::Language;

use super::html::mark;
use super::page::Page;
use super::usage::usage;
use crate::conditions::Conditions;
use crate::record::Outcomes;
use crate::verdict::Outcome;

/// What the report says, in one language.
struct Words {
    title: &'static str,
    outcomes: [&'static str; 3],
    basis: &'static str,
    points: &'static str,
    heads: [&'static str; 4],
    how: &'static str,
    method: [&'static str; 4],
    signed: &'static str,
    windows: &'static str,
    search: &'static str,
    places: &'static str,
    files: &'static str,
    found: &'static str,
    unread: &'static str,
    control: &'static str,
    usage: &'static str,
    conditions: &'static str,
    facts: [&'static str; 10],
    limits: &'static str,
    not_shown: &'static str,
    sign: &'static str,
}

const VIETNAMESE: Words = Words {
    title: "Báo cáo đo kiểm LGSP theo Điều 7 Quy chế (Quyết định số 2519/QĐ-UBND)",
    outcomes: ["ĐẠT", "KHÔNG ĐẠT", "KHÔNG CÓ KẾT QUẢ"],
    basis: "Căn cứ: Điều 7 Quy chế quản lý, vận hành và khai thác Nền tảng tích hợp, chia sẻ dữ liệu tỉnh Vĩnh Long.",
    points: "Kết quả từng yêu cầu",
    heads: ["Yêu cầu", "Căn cứ", "Kết quả đo", "Đạt"],
    how: "Cách đo",
    method: [
        "Kết nối: chỉ tính kết nối đã trao đổi xong ít nhất một lượt trong từng khoảng đo; số ghi ở trên là số nhỏ nhất trong mọi khoảng.",
        "CPU: thời gian CPU của các tiến trình được đo và tiến trình con, chia cho thời gian và số lõi chúng được dùng.",
        "Thời gian phản hồi: tính từ thời điểm yêu cầu phải được gửi theo kế hoạch đến khi nhận đủ câu trả lời; số ghi ở trên là lượt chậm nhất.",
        "Dữ liệu gửi đi mang một dấu hiệu riêng; sau khi đo, dấu hiệu được tìm ở mọi nơi liệt kê dưới đây, kể cả dạng hex và base64.",
    ],
    signed: "Số chữ ký tạo bằng khóa của hệ thống nguồn, mỗi chữ ký một nonce và thời điểm mới:",
    windows: "Số khoảng đo và độ dài mỗi khoảng:",
    search: "Tìm dữ liệu còn lại",
    places: "Nơi tìm",
    files: "Đã đọc",
    found: "Tệp còn dữ liệu",
    unread: "Tệp không đọc được",
    control: "Phép thử đối chứng (tệp có dấu hiệu) được tìm thấy",
    usage: "CPU và bộ nhớ trong lúc đo",
    conditions: "Điều kiện đo",
    facts: [
        "Bắt đầu",
        "Đối tượng đo",
        "Tải (yêu cầu mỗi giây)",
        "Số kết nối",
        "Khởi động, chờ trả lời",
        "Máy tạo tải",
        "Tiến trình được đo",
        "Công cụ",
        "Lệnh đã chạy",
        "Kịch bản (SHA-256)",
    ],
    limits: "Giới hạn của báo cáo",
    not_shown: "Phép đo này không chứng minh hoạt động liên tục 24/7 và chỉ có giá trị cho cấu hình, máy và tải nêu trong báo cáo.",
    sign: "Người đo kiểm: ....................................    Ngày: ....................    Ký tên: ....................",
};

const ENGLISH: Words = Words {
    title: "LGSP measured against Điều 7 of the regulation (Decision 2519/QĐ-UBND)",
    outcomes: ["MET", "NOT MET", "NO RESULT"],
    basis: "Basis: Điều 7 of the regulation on managing, operating and using the integration and data sharing platform of Vĩnh Long province.",
    points: "Result for each demand",
    heads: ["Demand", "Basis", "Measured", "Met"],
    how: "How it was measured",
    method: [
        "Connections: only those count that completed at least one exchange in every window; the number above is the fewest of all windows.",
        "CPU: CPU time of the measured processes and their children, divided by time and by the cores they may use.",
        "Time to answer: from the instant at which a request was planned to be sent to the whole answer; the value above is the slowest of all.",
        "What was sent carried a marker; afterwards it was looked for in every place below, also in hexadecimal and base64.",
    ],
    signed: "Signatures made with the source's key, each with a fresh nonce and time:",
    windows: "Windows, and how long each is:",
    search: "Search for what is left behind",
    places: "Places searched",
    files: "Read",
    found: "Files that hold the payload",
    unread: "Files that could not be read",
    control: "The control (a file with the marker) was found",
    usage: "CPU and memory meanwhile",
    conditions: "Conditions",
    facts: [
        "Started",
        "Target",
        "Load (requests per second)",
        "Connections",
        "Warm-up, time for an answer",
        "Generator's machine",
        "Measured processes",
        "Tool",
        "Command",
        "Scenario (SHA-256)",
    ],
    limits: "What this does not show",
    not_shown: "This measurement does not prove operation 24/7, and holds for the configuration, machine and load named here.",
    sign: "Measured by: ....................................    Date: ....................    Signature: ....................",
};

/// The report in a language; empty when the run was for something else.
pub fn compliance(outcomes: &Outcomes, language: Language) -> String {
    let words = match language {
        Language::Vietnamese => &VIETNAMESE,
        Language::English => &ENGLISH,
    };
    let Outcomes { measurement, verdict, compliance: Some(findings), .. } = outcomes else { return String::new() };
    let mut page = Page::new(language, words.title);
    let [met, not_met, none] = words.outcomes;
    let headline = match verdict.outcome {
        Outcome::Pass => met,
        Outcome::CriterionFailed | Outcome::Regression => not_met,
        Outcome::Invalid => none,
    };
    // Why there is no result is told in the tool's own words; the points speak for themselves in the reader's.
    let invalid = verdict.outcome == Outcome::Invalid;
    page.verdict(verdict.outcome, headline, if invalid { &verdict.reasons } else { &[] });
    page.paragraph(words.basis);
    page.heading(words.points);
    let rows: Vec<_> = findings
        .points
        .iter()
        .map(|point| {
            let demand = match language {
                Language::Vietnamese => point.demand.vietnamese(),
                Language::English => point.demand.english(),
            };
            let value = if invalid { "—".to_owned() } else { point.value.clone() };
            vec![demand.to_owned(), point.demand.article().to_owned(), value, mark(point.met && !invalid)]
        })
        .collect();
    page.table(&words.heads, &rows);
    page.heading(words.how);
    for text in words.method {
        page.paragraph(text);
    }
    let (windows, seconds) = (findings.windows, findings.window_seconds);
    page.paragraph(&format!("{} {}.", words.signed, measurement.measured.tally.signing.len()));
    page.paragraph(&format!("{} {windows} × {seconds} s.", words.windows));
    page.heading(words.search);
    let searched = &findings.searched;
    page.facts(&[
        (words.places, searched.places.join(", ")),
        (words.files, format!("{} ({} MiB)", searched.files, searched.bytes >> 20)),
        (words.found, format!("{} {}", searched.found_count, searched.found.join(", "))),
        (words.unread, format!("{} {}", searched.unread_count, searched.unread.join(", "))),
        (words.control, mark(searched.control_found)),
    ]);
    if !invalid {
        page.heading(words.usage);
        usage(&mut page, measurement, language);
    }
    page.heading(words.conditions);
    conditions(&mut page, words, &measurement.conditions);
    page.heading(words.limits);
    page.paragraph(words.not_shown);
    page.paragraph(words.sign);
    page.finish()
}

fn conditions(page: &mut Page, words: &Words, conditions: &Conditions) {
    let machine = &conditions.machine;
    let values = [
        conditions.started.clone(),
        conditions.target.clone(),
        conditions.load.clone(),
        conditions.connections.to_string(),
        format!("{} s, {} s", conditions.warmup_seconds, conditions.timeout_seconds),
        format!("{}, {} × CPU, {} MiB, {}", machine.cpu, machine.cores, machine.memory_bytes >> 20, machine.system),
        conditions.measured.join(", "),
        conditions.tool.clone(),
        conditions.command.join(" "),
        format!("{} ({})", conditions.scenario, conditions.scenario_sha256),
    ];
    let facts: Vec<_> = words.facts.into_iter().zip(values).collect();
    page.facts(&facts);
    let rows: Vec<_> = conditions.requests.iter().map(|asked| vec![asked.name.clone(), asked.what.clone()]).collect();
    page.table(&["", ""], &rows);
}
