// # Where seeing beats reading
//
// Which live widget stands below which statement. The widgets themselves are Vue components in
// `.vitepress/theme/widgets`; each runs the reference in the browser.

const after: Readonly<Record<string, readonly string[]>> = {
  "kernel-size": ["ConvolutionWidget"],
  shapes: ["ShapeWidget"],
  pooling: ["PoolingWidget"],
  batchnorm: ["BatchNormWidget"],
  inception: ["InceptionWidget"],
};

/** The widgets below the statement `label`. */
export const widgetsAfter = (label: string): readonly string[] => after[label] ?? [];
