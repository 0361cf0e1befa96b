//! French.

use super::Language;

pub(super) static FR: Language = Language {
    tag: "fr",
    group: "\u{202f}",
    decimal: ",",
    percent: "\u{a0}%",
    currency_first: false,
    months: [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    months_short: [
        "janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.",
        "déc.",
    ],
    days: [
        "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche",
    ],
    days_short: ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."],
    dates: [
        "dd/MM/yyyy",
        "d MMM yyyy",
        "d MMMM yyyy",
        "EEEE d MMMM yyyy",
    ],
    time: "HH:mm",
    time_seconds: "HH:mm:ss",
    date_times: [" ", ", ", ", ", ", "],
    half_days: ["AM", "PM"],
    yes_no: ["Oui", "Non"],
    total: "Total",
    subtotal: "Total {group}",
    no_rows: "Aucune ligne",
    no_data: "Aucune donnée",
    chart_data: "Données des graphiques",
    data_of_chart: "Données de ce graphique",
    overview: "Aperçu",
    table: "Tableau",
    chart: "Graphique",
};
