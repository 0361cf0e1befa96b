//! Japanese.

use super::Language;

const JA_MONTHS: [&str; 12] = [
    "1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月",
];

pub(super) static JA: Language = Language {
    tag: "ja",
    group: ",",
    decimal: ".",
    percent: "%",
    currency_first: true,
    months: JA_MONTHS,
    months_short: JA_MONTHS,
    days: [
        "月曜日",
        "火曜日",
        "水曜日",
        "木曜日",
        "金曜日",
        "土曜日",
        "日曜日",
    ],
    days_short: ["月", "火", "水", "木", "金", "土", "日"],
    dates: [
        "yyyy/MM/dd",
        "yyyy/MM/dd",
        "yyyy年M月d日",
        "yyyy年M月d日EEEE",
    ],
    time: "H:mm",
    time_seconds: "H:mm:ss",
    date_times: [" "; 4],
    half_days: ["午前", "午後"],
    yes_no: ["はい", "いいえ"],
    total: "合計",
    subtotal: "{group} 小計",
    no_rows: "該当する行はありません",
    no_data: "データなし",
    chart_data: "グラフデータ",
    data_of_chart: "このグラフのデータ",
    overview: "概要",
    table: "表",
    chart: "グラフ",
};
