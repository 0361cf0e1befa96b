//! English: American, and British.

use super::Language;

const EN_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const EN_MONTHS_SHORT: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const EN_DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const EN_DAYS_SHORT: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

pub(super) static EN: Language = Language {
    tag: "en",
    group: ",",
    decimal: ".",
    percent: "%",
    currency_first: true,
    months: EN_MONTHS,
    months_short: EN_MONTHS_SHORT,
    days: EN_DAYS,
    days_short: EN_DAYS_SHORT,
    dates: [
        "M/d/yyyy",
        "MMM d, yyyy",
        "MMMM d, yyyy",
        "EEEE, MMMM d, yyyy",
    ],
    time: "h:mm\u{202f}a",
    time_seconds: "h:mm:ss\u{202f}a",
    date_times: [", "; 4],
    half_days: ["AM", "PM"],
    yes_no: ["Yes", "No"],
    total: "Total",
    subtotal: "Total {group}",
    no_rows: "No rows",
    no_data: "No data",
    chart_data: "Chart data",
    data_of_chart: "Data of this chart",
    overview: "Overview",
    table: "Table",
    chart: "Chart",
};

pub(super) static EN_GB: Language = Language {
    tag: "en-GB",
    months_short: [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec",
    ],
    dates: [
        "dd/MM/yyyy",
        "d MMM yyyy",
        "d MMMM yyyy",
        "EEEE, d MMMM yyyy",
    ],
    time: "HH:mm",
    time_seconds: "HH:mm:ss",
    half_days: ["am", "pm"],
    ..EN
};
