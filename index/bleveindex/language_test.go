package bleveindex_test

import (
	"slices"
	"testing"

	"escrow"
	"escrow/index"
)

// library has a message in each language. Sentences are long enough for their language to be recognised.
var library = []struct{ lang, body string }{
	{"en", "We have been negotiating the contracts for three weeks and the committees are still arguing about the payments. To be or not to be."},
	{"de", "Die Verträge wurden gestern von den Geschäftsführern unterschrieben, und die Häuser in der Müllerstraße sind verkauft. Gruß, Jürgen Müller"},
	{"fr", "Les négociations avec les fournisseurs étaient difficiles, mais l'avion est arrivé hier soir et nous avons signé les contrats au café."},
	{"es", "Las negociaciones con los proveedores fueron difíciles, pero firmamos los contratos ayer por la mañana en la oficina de España."},
	{"it", "Le trattative con i fornitori sono state difficili, ma abbiamo firmato i contratti ieri mattina nella città di Firenze perché era urgente."},
	{"pt", "As negociações com os fornecedores foram difíceis, mas assinámos os contratos ontem de manhã no escritório de São Paulo, não foi fácil."},
	{"nl", "De onderhandelingen met de leveranciers waren moeilijk, maar we hebben gisteren de overeenkomsten ondertekend op het kantoor in Utrecht."},
	{"ru", "Переговоры с поставщиками были трудными, но вчера утром мы подписали договоры в московском офисе. Ещё раз спасибо всем участникам."},
	{"ar", "كانت المفاوضات مع الموردين صعبة ولكننا وقعنا العقود أمس في مكتب القاهرة وسوف نرسل الفواتير غدا إلى الشركات"},
	{"zh", "我们昨天在北京签署了采购合同，供应商的谈判非常困难，但是最后大家都同意了新的价格。"},
	{"ja", "昨日、東京都のオフィスで契約書に署名しました。取引先との交渉は難しかったが、最後に合意できました。"},
	{"ko", "어제 서울 사무실에서 계약서에 서명했습니다. 공급업체와의 협상은 어려웠지만 학교에서 합의했습니다."},
}

// A word is found in its inflections, or inside what is written without spaces.
func TestLanguages(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	var docs []index.Document
	for _, l := range library {
		docs = append(docs, index.Document{Body: l.body})
	}
	apply(t, x, docs...)
	for i, l := range library {
		if got := matches(t, x, "lang:"+l.lang); !slices.Equal(got, []escrow.Seq{escrow.Seq(i)}) {
			t.Errorf("lang:%s finds %v, want %d", l.lang, got, i)
		}
	}
	for _, tc := range []struct{ lang, query string }{
		{"en", "negotiate contract"}, {"en", "negotiated payment committee"}, {"en", `"to be or not to be"`}, {"en", `body:"not to be"`},
		{"en", "body:contract lang:en"}, {"en", "argued"}, {"en", "negotiat*"}, {"en", "comittees~1"},
		{"de", "Vertrag Haus"}, {"de", "VERTRÄGE"}, {"de", "unterschriebene"}, {"de", "Müllerstrasse"}, {"de", "Muller"}, {"de", "Mueller"},
		{"de", `"Jürgen Müller"`}, {"de", `"jurgen muller"`}, {"de", "Juergen"}, {"de", "Geschäftsführer"},
		{"fr", "négociation fournisseur"}, {"fr", "avion"}, {"fr", "l'avion"}, {"fr", "cafe"}, {"fr", "Café"}, {"fr", "difficile contrat lang:fr"},
		{"es", "negociación proveedor"}, {"es", "firmar lang:es"}, {"es", "manana"}, {"es", "Espana"}, {"es", "contrato lang:es"},
		{"it", "trattativa fornitore"}, {"it", "citta"}, {"it", "contratto"}, {"it", "perche"},
		{"pt", "negociação fornecedor"}, {"pt", "sao paulo"}, {"pt", "contrato lang:pt"}, {"pt", "facil"},
		{"nl", "onderhandeling leverancier"}, {"nl", "overeenkomst"}, {"nl", "kantoren"},
		{"ru", "договор"}, {"ru", "переговоров поставщик"}, {"ru", "еще"}, {"ru", "участники"}, {"ru", "договора"},
		{"ar", "عقود"}, {"ar", "العقود"}, {"ar", "مفاوضات"}, {"ar", "شركة"}, {"ar", "فاتورة OR فواتير"}, {"ar", `"مكتب القاهرة"`},
		{"zh", "合同"}, {"zh", "采购合同"}, {"zh", "北京"}, {"zh", "价格 谈判"}, {"zh", `"签署了采购"`}, {"zh", "购"},
		{"ja", "契約書"}, {"ja", "東京"}, {"ja", "京都"}, {"ja", "オフィス"}, {"ja", "ｵﾌｨｽ"}, {"ja", "交渉 合意"}, {"ja", "都 契"},
		{"ko", "계약서"}, {"ko", "학교"}, {"ko", "서울 협상"}, {"ko", `"서울 사무실"`},
	} {
		want := slices.IndexFunc(library, func(l struct{ lang, body string }) bool { return l.lang == tc.lang })
		if got := matches(t, x, tc.query); !slices.Equal(got, []escrow.Seq{escrow.Seq(want)}) {
			t.Errorf("%s: %s finds %v, want %d", tc.lang, tc.query, got, want)
		}
	}
	for _, q := range []string{`"contract negotiating"`, `"be to"`, "北京合同", "京东", `"사무실 서울"`, `"contract"`, "xyzzy"} {
		if got := matches(t, x, q); len(got) != 0 {
			t.Errorf("%s finds %v, want nothing", q, got)
		}
	}
}

// A wrong or mixed language costs inflections, never a word as it is written.
func TestExactWordsInEveryLanguage(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x,
		index.Document{Body: "Please find the Verträge and the contrats below; the 合同 is signed, Договоры follow, العقود too. naïve Łódź İstanbul straße Ænima"},
		index.Document{Body: "ok"},
		index.Document{Body: "don't O'Brien e-mail AT&T example.com/report_q3.pdf ﬁnance ＡＢＣ１２３ 3.14"},
		index.Document{Body: "please call Mueller", From: []index.Person{person("email:j@example.org", "Jürgen Groß")}},
		index.Document{Body: "lorem " + repeat("QUJD", 300) + " ipsum"},
	)
	for q, want := range map[string]escrow.Seq{
		"Verträge": 0, "contrats": 0, "合同": 0, "Договоры": 0, "العقود": 0, "naive": 0, "lodz": 0, "ISTANBUL": 0, "STRASSE": 0, "aenima": 0,
		`"the verträge and"`: 0, "ok": 1, "don't": 2, "don’t": 2, "brien": 2, "e-mail": 2, `"e mail"`: 2, "AT&T": 2, "example.com": 2, "report": 2, "q3": 2,
		"report_q3.pdf": 2, "finance": 2, "abc123": 2, "3.14": 2,
		"Müller": 3, "mueller": 3, "from:Juergen": 3, "from:jurgen": 3, `from:"Jürgen Gross"`: 3, repeat("QUJD", 300): 4, "ipsum": 4,
	} {
		if got := matches(t, x, q); !slices.Equal(got, []escrow.Seq{want}) {
			t.Errorf("%.40s finds %v, want %d", q, got, want)
		}
	}
}

func repeat(s string, n int) string { return string(slices.Repeat([]byte(s), n)) }
