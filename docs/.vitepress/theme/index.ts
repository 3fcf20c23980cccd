import DefaultTheme from "vitepress/theme";
import "katex/dist/katex.min.css";
import { type Theme, useData, useRoute } from "vitepress";
import { defineComponent, h, nextTick, onMounted, watch } from "vue";
import "../../../extension/media/preview.css";
import "./style.css";
import { follow } from "./reading.js";
import BatchNormWidget from "./widgets/BatchNormWidget.vue";
import ConvolutionWidget from "./widgets/ConvolutionWidget.vue";
import InceptionWidget from "./widgets/InceptionWidget.vue";
import PoolingWidget from "./widgets/PoolingWidget.vue";
import ShapeWidget from "./widgets/ShapeWidget.vue";

const widgets = { BatchNormWidget, ConvolutionWidget, InceptionWidget, PoolingWidget, ShapeWidget };

/**
 * The default page, followed by the reader's panel whenever another one is shown; a convolution
 * stands beside the first words.
 */
const Layout = defineComponent({
  setup() {
    const route = useRoute();
    const { lang } = useData();
    let stop = () => {};
    const begin = () => {
      stop();
      stop = follow(document);
    };
    onMounted(begin);
    watch(
      () => route.path,
      () => void nextTick(begin),
    );
    const picture = () => {
      const words = lang.value.startsWith("zh") ? "zh" : "en";
      return h(ConvolutionWidget, { key: words, lang: words });
    };
    return () => h(DefaultTheme.Layout, null, { "home-hero-image": picture });
  },
});

export default {
  extends: DefaultTheme,
  Layout,
  enhanceApp({ app }) {
    for (const [name, component] of Object.entries(widgets)) app.component(name, component);
  },
} satisfies Theme;
